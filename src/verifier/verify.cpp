// verify(): the phases in the kernel's order, the statistics at the log's end, and what is handed on
// (kernel: bpf_check()).
#include "verifier/verify.hpp"

#include "progs/prog_type.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

/// Makes a Verified; nothing else can.
class Builder {
 public:
  static Verified build(const Input& input, Env& env, LogOutput log);
};

namespace {

/// What the kernel reads with BPF_PROBE_MEM (convert_ctx_accesses()); but what a program allocated stays
/// readable while it runs, whoever lets go of it.
bool may_fault(const InsnAux& aux) {
  const RegType type = aux.pointer_type;
  if (type.base == Base::mem) return (type.flags & tf::untrusted) != 0;
  if (type.base != Base::btf_id || (type.flags & tf::alloc) != 0) return false;
  return (type.flags & tf::untrusted) != 0 || type.flags == tf::none;
}

u8 pointer_kind(RegType type) {
  auto number = [](PtrKind kind) { return static_cast<u8>(kind); };
  switch (type.base) {
    case Base::ctx:
      return number(PtrKind::ctx);
    case Base::packet:
    case Base::packet_meta:
    case Base::packet_end:
      return number(PtrKind::packet);
    case Base::stack:
      return number(PtrKind::stack);
    case Base::map_value:
    case Base::map_key:
      return number(PtrKind::map_value);
    case Base::mem:
    case Base::buf:
      return number(PtrKind::mem);
    case Base::btf_id:
      return number(PtrKind::btf_id);
    case Base::sock:
    case Base::sock_common:
      return number(PtrKind::sock);
    case Base::tcp_sock:
      return number(PtrKind::tcp_sock);
    case Base::xdp_sock:
      return number(PtrKind::xdp_sock);
    default:
      return number(PtrKind::none);
  }
}

/// Frames shrink where the slots of fastcall patterns go away (kernel: bpf_remove_fastcall_spills_fills()).
void drop_fastcall_slots(Env& env) {
  for (u32 s = 0; s < env.program.subprog_count(); ++s) {
    bool removed = false;
    for (u32 i = env.program.subprogs[s].start; i < env.program.subprogs[s + 1].start; ++i)
      removed = removed || env.program.notes[i].fastcall_spills > 0;
    if (removed && !env.program.subprogs[s].keep_fastcall_stack)
      env.subprog_aux[s].stack_depth = static_cast<u32>(-env.subprog_aux[s].fastcall_stack_off);
  }
}

Status walk_program(Env& env) {
  const auto count = env.program.subprog_count();
  env.aux.resize(env.program.insns.size());
  env.subprog_aux.resize(count);
  for (u32 s = 0; s < count; ++s)
    env.subprog_aux[s].fastcall_stack_off = env.program.subprogs[s].fastcall_stack_off;
  env.strict_alignment = (env.input.prog_flags & uapi::F_STRICT_ALIGNMENT) != 0;
  env.test_state_freq = (env.input.prog_flags & uapi::F_TEST_STATE_FREQ) != 0;
  env.test_reg_invariants = (env.input.prog_flags & uapi::F_TEST_REG_INVARIANTS) != 0;
  Walk walk(env);
  CHECK(walk.run());
  drop_fastcall_slots(env);
  return walk.check_max_stack_depth();
}

/// What the fixups of an accepted program will keep on a function's stack besides: the three registers of an
/// inlined bpf_loop, and a may_goto loop's budget in two slots of its own.
u32 depth_with_extra(const Env& env, std::size_t subprog, bool accepted) {
  if (subprog >= env.subprog_aux.size()) return 0;
  const u32 depth = env.subprog_aux[subprog].stack_depth;
  if (!accepted) return depth;
  bool may_goto = false, loop = false;
  for (u32 i = env.program.subprogs[subprog].start; i < env.program.subprogs[subprog + 1].start; ++i) {
    if (!env.aux[i].seen) continue;
    may_goto = may_goto || env.program.insns[i].code == (isa::op::JMP | isa::op::JCOND);
    loop = loop || (env.aux[i].loop_inline_seen && env.aux[i].fits_inline_loop);
  }
  return (loop ? (depth + 7) / 8 * 8 + 24 : depth) + (may_goto ? 16 : 0);
}

void print_statistics(Env& env, bool accepted) {
  if (!env.log.enabled()) return;
  if (env.log.stats()) {
    env.log.write("verification time 0 usec\n");  // the verifier asks no clock
    std::string depths;
    for (std::size_t s = 0; s + 1 < env.program.subprogs.size(); ++s) {
      if (s != 0) depths += '+';
      depths += fmt::format("{}", depth_with_extra(env, s, accepted));
    }
    env.log.write("stack depth " + depths + "\n");
  }
  env.log.write(fmt::format(
      "processed {} insns (limit {}) max_states_per_insn {} total_states {} peak_states {} mark_read 0\n",
      env.insn_processed, limits::max_insns, env.max_states_per_insn, env.total_states, env.peak_states));
}

/// An extension has the rights and the context of what it extends (kernel: check_attach_btf_id() gives it the
/// target's verifier_ops).
Input in_place_of_target(const Input& input) {
  Input judged = input;
  if (input.type == ProgType::ext && input.target != nullptr) {
    judged.is_extension = true;
    judged.type = input.target->type;
    judged.expected_attach_type = input.target->expected_attach_type;
  }
  return judged;
}

Rejection reject(Env& env, int code, LogOutput log) {
  Rejection r;
  r.code = code;
  r.message = env.log.last_message();
  r.insn = env.insn_idx;
  r.log = std::move(log);
  r.processed_insns = env.insn_processed;
  r.memory = env.pool.bytes();
  return r;
}

}  // namespace

Verified Builder::build(const Input& input, Env& env, LogOutput log) {
  Verified v;
  v.log_ = std::move(log);
  v.input_ = input;
  v.insns_ = env.program.insns;
  v.used_maps_ = env.program.used_maps;
  v.processed_ = env.insn_processed;
  v.memory_ = env.pool.bytes();
  v.writes_packet_ = env.seen_direct_write;
  v.throws_ = env.seen_exception;
  v.max_ctx_offset_ = env.max_ctx_offset;
  if (env.program.exception_callback != 0)
    v.exception_callback_ = env.program.subprogs[env.program.exception_callback].start;
  v.facts_.resize(v.insns_.size());
  for (std::size_t i = 0; i < v.facts_.size(); ++i) {
    InsnFacts& f = v.facts_[i];
    const InsnAux& aux = env.aux[i];
    const InsnNotes& notes = env.program.notes[i];
    f.seen = aux.seen;
    f.nospec = aux.nospec;
    f.pointer_kind = pointer_kind(aux.pointer_type);
    f.map_index = aux.call_map_set ? aux.call_map_index : notes.map_index;
    f.map_off = notes.map_off;
    f.call_map_known = aux.call_map_known;
    f.call_map_inner = aux.call_map_inner;
    f.constant_key = aux.constant_key_set && aux.constant_key_known ? aux.constant_key : -1;
    f.ctx_field_size = aux.ctx_field_size;
    f.kernel_type = aux.kernel_type;
    f.kernel_off = aux.kernel_off;
    f.may_fault = may_fault(aux);
    f.fastcall_pattern = notes.fastcall_pattern;
    f.fastcall_spills = notes.fastcall_spills;
    f.loop_inline_flags = aux.loop_inline_flags;
    f.object_btf = aux.object_btf;
    f.object_type = aux.object_type;
    f.object_size = aux.object_size;
    f.node_offset = aux.node_offset;
    f.objects_differ = aux.objects_differ;
  }
  for (u32 s = 0; s < env.program.subprog_count(); ++s) {
    const SubprogNotes& notes = env.program.subprogs[s];
    const TargetFunction as_target{env.subprog_aux[s].unreliable, notes.changes_pkt_data, notes.might_sleep,
                                   s != 0 && s == env.program.exception_callback};
    v.subprogs_.push_back({notes.start, env.subprog_aux[s].stack_depth, notes.is_global, notes.has_tail_call,
                           notes.is_callback, as_target, std::string(notes.name)});
  }
  return v;
}

std::expected<Verified, Rejection> verify(const Input& input, const LogOptions& options) {
  const Input judged = in_place_of_target(input);
  Env env(judged, options);
  Status status;
  if (!progs::supported(judged.type)) {
    status =
        env.reject(EOPNOTSUPP, "skep does not verify programs of type {} yet\n", prog_type_name(judged.type));
  } else {
    status = Status(run_front(judged, env.program, env.log));
    if (status.ok()) status = walk_program(env);
  }
  print_statistics(env, status.ok());
  LogOutput log = env.log.finish();
  const int code = log.overflow ? ENOSPC : status.code();
  if (code != 0) return std::unexpected(reject(env, code, std::move(log)));
  return Builder::build(input, env, std::move(log));
}

}  // namespace skep::verifier
