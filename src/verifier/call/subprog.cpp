// Calls of the program's own functions: static ones are walked in the caller's context, global ones by
// themselves, from their BTF signature (kernel: check_func_call(), setup_func_entry(),
// btf_prepare_func_args(), btf_check_func_arg_match()).
#include <algorithm>

#include "btf/kernel_btf.hpp"
#include "verifier/kfunc/context_types.hpp"
#include "verifier/state/dynptr.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Kind;

namespace {
/// kernel: enum btf_arg_tag
namespace arg_tag {
constexpr u32 ctx = 1, nonnull = 2, trusted = 4, untrusted = 8, nullable = 16, arena = 32;
}

bool is_arg_tag(const btf::Btf& types, u32 id, u32 func_id, u32 index) {
  const btf::Type& tag = types.type(id);
  return tag.kind == Kind::decl_tag && tag.type == func_id && tag.component == static_cast<s32>(index) &&
         types.string(tag.name_off).starts_with("arg:");
}

bool has_arg_tags(const btf::Btf& types, u32 func_id, u32 index) {
  for (u32 id = 1; id <= types.type_count(); ++id)
    if (is_arg_tag(types, id, func_id, index)) return true;
  return false;
}
}  // namespace

Status Walk::check_subprog_call(const isa::Insn& insn) {
  const s32 found = e.program.find_subprog(e.insn_idx + static_cast<u32>(insn.imm) + 1);
  if (found < 0)
    return e.reject(EFAULT, "no program starts at insn {}\n", e.insn_idx + static_cast<u32>(insn.imm) + 1);
  const auto subprog = static_cast<u32>(found);
  const Status fits = check_signature(subprog);
  if (is_global(subprog)) return check_global_call(subprog, fits);
  return fits.code() == EFAULT ? fits : enter_subprog(subprog);
}

/// What a function is called with fits its BTF. If not, the log says so, and programs that are attached to
/// the function cannot rely on its BTF; only global functions are refused for it (kernel:
/// btf_check_subprog_call()).
Status Walk::check_signature(u32 subprog) {
  SubprogAux& sub = e.subprog_aux[subprog];
  if (!is_global(subprog) && (e.input.btf == nullptr || e.program.subprogs[subprog].type_id == 0))
    return passed;
  if (sub.unreliable) return Status(EINVAL);
  const Status status = check_global_args(subprog);
  sub.unreliable = !status.ok();
  return status;
}

Status Walk::enter_subprog(u32 subprog) {
  State& state = *e.cur;
  if (state.curframe + 1 >= limits::max_call_frames)
    return e.reject(E2BIG, "the call stack of {} frames is too deep\n", state.curframe + 2);
  Frame& caller = state.cur();
  Frame* callee = e.pool.new_frame();
  callee->callsite = static_cast<s32>(e.insn_idx);
  callee->frameno = state.curframe + 1;
  callee->subprogno = subprog;
  mark_known_zero_pointer(callee->regs[frame_pointer], Base::stack);
  callee->regs[frame_pointer].frameno = callee->frameno;
  for (u32 i = 1; i <= 5; ++i) callee->regs[i] = caller.regs[i];
  state.frame.set(++state.curframe, callee);
  clear_caller_saved(caller);
  scratched.all();
  live.forget_current();
  e.insn_idx = e.program.subprogs[subprog].start;
  insn_idx_set = true;
  if (e.log.tracing()) {
    e.log.trace("caller:\n");
    print_frame(e.log, state, caller, nullptr);
    e.log.trace("callee:\n");
    print_frame(e.log, state, *callee, nullptr);
  }
  return passed;
}

/// `fits`: what check_signature() said.
Status Walk::check_global_call(u32 subprog, Status fits) {
  const std::string_view name = e.program.subprogs[subprog].name;
  if (e.cur->active_locks != 0)
    return e.reject(
        EINVAL, "global function calls are not allowed while holding a lock,\nuse static function instead\n");
  if (e.program.subprogs[subprog].might_sleep &&
      (e.cur->active_rcu_lock || e.cur->active_preempt_locks != 0 || e.cur->active_irq_id != 0 ||
       !e.cur->in_sleepable))
    return e.reject(EINVAL,
                    "global functions that may sleep are not allowed in non-sleepable context,\n"
                    "i.e., in a RCU/IRQ/preempt-disabled section, or in\n"
                    "a non-sleepable BPF program context\n");
  if (!fits.ok()) {
    (void)e.reject(EINVAL, "Caller passes invalid args into func#{} ('{}')\n", subprog, name);
    return fits;
  }
  e.log.trace("Func#{} ('{}') is global and assumed valid.\n", subprog, name);
  if (e.program.subprogs[subprog].changes_pkt_data) clear_packet_pointers();
  e.subprog_aux[subprog].called = true;
  clear_caller_saved(e.cur->cur());
  mark_unknown(regs()[0]);
  return passed;
}

/// The "arg:..." tags of a parameter (kernel: enum btf_arg_tag).
Status Walk::read_arg_tags(const btf::Btf& types, u32 func_id, u32 index, u32& tags) {
  constexpr std::pair<std::string_view, u32> known[] = {
      {"ctx", arg_tag::ctx},           {"trusted", arg_tag::trusted}, {"nonnull", arg_tag::nonnull},
      {"nullable", arg_tag::nullable}, {"arena", arg_tag::arena},     {"untrusted", arg_tag::untrusted}};
  tags = 0;
  for (u32 id = 1; id <= types.type_count(); ++id) {
    if (!is_arg_tag(types, id, func_id, index)) continue;
    const std::string_view text = types.name(id);
    const auto* const found =
        std::ranges::find(known, text.substr(4), &std::pair<std::string_view, u32>::first);
    if (found == std::end(known)) return e.reject(EOPNOTSUPP, "arg#{} has unsupported set of tags\n", index);
    tags |= found->second;
  }
  return passed;
}

/// The kernel's type that the program's type of the same name and kind stands for (kernel:
/// btf_get_ptr_to_btf_id()).
Status Walk::kernel_type_of_arg(const btf::Btf& types, u32 target, u32 index, u32& kernel_id) {
  const btf::Type& type = types.type(target);
  const std::string_view name = types.string(type.name_off);
  const auto refuse = [&](int code, std::string_view why) {
    return e.reject(code, "arg#{} reference type('{} {}') {}\n", index, btf::kind_name(type.kind), name, why);
  };
  if (name.empty()) return refuse(EINVAL, "candidate matching error: -22");
  const btf::Btf* const kernel = kernel_btf();
  if (kernel == nullptr) return refuse(ENOENT, "has no matches");
  const std::string_view wanted = name.substr(0, name.find("___"));
  u32 count = 0;
  for (u32 id = 1; id <= kernel->type_count(); ++id) {
    const btf::Type& candidate = kernel->type(id);
    if (candidate.kind != type.kind) continue;
    const std::string_view other = kernel->string(candidate.name_off);
    if (!other.starts_with(wanted) || other.substr(0, other.find("___")) != wanted) continue;
    kernel_id = id;
    ++count;
  }
  if (count == 0) return refuse(ENOENT, "has no matches");
  return count == 1 ? passed : refuse(ESRCH, "is ambiguous");
}

Status Walk::prepare_pointer_arg(const btf::Btf& types, u32 pointer_id, u32 index, u32 tags, GlobalArg& arg) {
  const btf::Type& pointer = types.type(pointer_id);
  const u32 target = types.skip_modifiers(pointer.type);
  const btf::Type& pointee = types.type(target);
  const auto only = [&](u32 allowed) -> Status {
    if ((tags & ~allowed) == 0) return passed;
    return e.reject(EINVAL, "arg#{} has invalid combination of tags\n", index);
  };
  if ((tags & arg_tag::ctx) != 0 || kfunc::is_context_type(types, pointer, e.input.type)) {
    CHECK(only(arg_tag::ctx));
    if (tags != 0) {
      const std::string why =
          kfunc::wrong_context_type(types, pointer, e.input.type, e.input.expected_attach_type);
      if (!why.empty()) return e.reject(EINVAL, "arg#{} {}\n", index, why);
    }
    arg.kind = GlobalArg::Kind::ctx;
    return passed;
  }
  if (pointee.kind == Kind::struct_ && types.string(pointee.name_off) == "bpf_dynptr") {
    arg.kind = GlobalArg::Kind::dynptr;
    return only(0);
  }
  if ((tags & arg_tag::trusted) != 0) {
    CHECK(only(arg_tag::trusted | arg_tag::nullable));
    arg.kind = GlobalArg::Kind::trusted;
    arg.nullable = (tags & arg_tag::nullable) != 0;
    return kernel_type_of_arg(types, target, index, arg.btf_id);
  }
  if ((tags & arg_tag::untrusted) != 0) return prepare_untrusted_arg(types, target, index, tags, arg);
  if ((tags & arg_tag::arena) != 0) {
    if (tags != arg_tag::arena)
      return e.reject(EINVAL, "arg#{} arena cannot be combined with any other tags\n", index);
    arg.kind = GlobalArg::Kind::arena;
    return passed;
  }
  // A pointer to anything of known size; NULL is allowed unless a tag says otherwise.
  CHECK(only(~u32{arg_tag::nullable}));
  const Result<u64> size = types.size_of(target);
  if (pointee.kind == Kind::void_ || !size)
    return e.reject(EINVAL, "arg#{} reference type('{} {}') size cannot be determined: -22\n", index,
                    btf::kind_name(pointee.kind), types.string(pointee.name_off));
  arg.kind = GlobalArg::Kind::mem;
  arg.nullable = (tags & arg_tag::nonnull) == 0;
  arg.mem_size = static_cast<u32>(*size);
  return passed;
}

/// A pointer that is only read, through reads that cannot fault.
Status Walk::prepare_untrusted_arg(const btf::Btf& types, u32 target, u32 index, u32 tags, GlobalArg& arg) {
  if (tags != arg_tag::untrusted)
    return e.reject(EINVAL, "arg#{} untrusted cannot be combined with any other tags\n", index);
  const Kind kind = types.type(target).kind;
  if (kind == Kind::void_ || kind == Kind::int_ || btf::is_any_enum(kind)) {
    arg.kind = GlobalArg::Kind::untrusted_mem;
    return passed;
  }
  CHECK(kernel_type_of_arg(types, target, index, arg.btf_id));
  const btf::Type& found = kernel_btf()->type(arg.btf_id);
  if (!btf::is_composite(found.kind))
    return e.reject(EINVAL, "arg#{} has type {} '{}', but only struct or primitive types are allowed\n",
                    index, btf::kind_name(found.kind), kernel_btf()->name(arg.btf_id));
  arg.kind = GlobalArg::Kind::untrusted;
  return passed;
}

/// Static functions may have any arguments; BTF says enough of numbers and contexts alone.
Status Walk::prepare_static_args(u32 subprog) {
  SubprogAux& sub = e.subprog_aux[subprog];
  const btf::Btf& types = *e.input.btf;
  const u32 func_id = e.program.subprogs[subprog].type_id;
  const btf::Type& proto = types.type(types.type(func_id).type);
  const auto params = types.entries(proto);
  const auto is_number = [&](u32 id) {
    const Kind kind = types.type(types.skip_modifiers(id)).kind;
    return kind == Kind::int_ || btf::is_any_enum(kind);
  };
  if (params.size() > 5 || !is_number(proto.type)) return Status(EINVAL);
  for (u32 i = 0; i < params.size(); ++i) {
    if (has_arg_tags(types, func_id, i))
      return e.reject(EOPNOTSUPP, "arg#{} type tag is not supported in static functions\n", i);
    const u32 id = types.skip_modifiers(params[i].type);
    const btf::Type& type = types.type(id);
    sub.args[i] = {};
    if (is_number(id)) continue;
    if (type.kind != Kind::ptr) return Status(EINVAL);
    const btf::Type& pointee = types.type(types.skip_modifiers(type.type));
    if (kfunc::is_context_type(types, type, e.input.type))
      sub.args[i].kind = GlobalArg::Kind::ctx;
    else if (pointee.kind == Kind::struct_ && types.string(pointee.name_off) == "bpf_dynptr")
      sub.args[i].kind = GlobalArg::Kind::dynptr;
    else
      return Status(EINVAL);
  }
  sub.arg_count = static_cast<u8>(params.size());
  sub.args_cached = true;
  return passed;
}

/// The arguments of a function by its BTF (kernel: btf_prepare_func_args()).
Status Walk::prepare_args(u32 subprog) {
  if (e.subprog_aux[subprog].args_cached) return passed;
  return is_global(subprog) || subprog == 0 ? prepare_global_args(subprog) : prepare_static_args(subprog);
}

Status Walk::prepare_global_args(u32 subprog) {
  SubprogAux& sub = e.subprog_aux[subprog];
  if (sub.args_cached) return passed;
  const btf::Btf* types = e.input.btf;
  const std::string_view name = e.program.subprogs[subprog].name;
  const u32 func_id = e.program.subprogs[subprog].type_id;
  if (types == nullptr || func_id == 0) return e.reject(EFAULT, "global functions must have valid BTF\n");
  const btf::Type& proto = types->type(types->type(func_id).type);
  const auto params = types->entries(proto);
  if (params.size() > 5)
    return e.reject(EINVAL, "Global function {}() with {} > 5 args. Buggy compiler.\n", name, params.size());
  const btf::Type& ret = types->type(types->skip_modifiers(proto.type));
  if (ret.kind != Kind::int_ && !btf::is_any_enum(ret.kind))
    return e.reject(EINVAL, "Global function {}() doesn't return scalar. Only those are supported.\n", name);
  for (u32 i = 0; i < params.size(); ++i) {
    u32 tags = 0;
    CHECK(read_arg_tags(*types, func_id, i, tags));
    const u32 id = types->skip_modifiers(params[i].type);
    const Kind kind = types->type(id).kind;
    sub.args[i] = {};
    if (kind == Kind::ptr) {
      CHECK(prepare_pointer_arg(*types, id, i, tags, sub.args[i]));
      continue;
    }
    if (tags != 0) return e.reject(EINVAL, "arg#{} has pointer tag, but is not a pointer type\n", i);
    if (kind != Kind::int_ && !btf::is_any_enum(kind))
      return e.reject(EINVAL, "Arg#{} type {} in {}() is not supported yet.\n", i, btf::kind_name(kind),
                      name);
  }
  sub.arg_count = static_cast<u8>(params.size());
  sub.args_cached = true;
  return passed;
}

/// The registers of a call fit the function's signature (kernel: btf_check_func_arg_match()).
Status Walk::check_global_args(u32 subprog) {
  CHECK(prepare_args(subprog));
  const SubprogAux& sub = e.subprog_aux[subprog];
  for (u32 i = 0; i < sub.arg_count; ++i) CHECK(check_global_arg(i, sub.args[i]));
  return passed;
}

Status Walk::check_global_arg(u32 index, const GlobalArg& arg) {
  const u32 regno = index + 1;
  RegState& reg = regs()[regno];
  const bool null = reg.is_const() && reg.num.var_off.value == 0;
  switch (arg.kind) {
    case GlobalArg::Kind::anything:
      return reg.is_scalar() ? passed : e.reject(EINVAL, "R{} is not a scalar\n", regno);
    case GlobalArg::Kind::untrusted:
    case GlobalArg::Kind::untrusted_mem:
      return passed;  // whatever it is, reads through it cannot fault
    case GlobalArg::Kind::ctx:
      CHECK(check_arg_offset(reg, regno, {}));
      return reg.type == Base::ctx ? passed : e.reject(EINVAL, "arg#{} expects pointer to ctx\n", index);
    case GlobalArg::Kind::arena:
      if (reg.type == Base::arena || reg.is_scalar()) return passed;
      return e.reject(EINVAL, "R{} is not a pointer to arena or scalar.\n", regno);
    case GlobalArg::Kind::dynptr:
      CHECK(check_arg_offset(reg, regno, {helpers::Arg::dynptr}));
      return use_dynptr(regno, true, DynptrKind::invalid);
    case GlobalArg::Kind::trusted: {
      if (null && arg.nullable) return passed;
      CallMeta meta;
      meta.want_btf_id = arg.btf_id;
      const helpers::ArgSpec spec{.kind = helpers::Arg::btf_id,
                                  .flags = arg.nullable ? helpers::maybe_null : 0u};
      CHECK(check_arg_type(regno, spec, meta));
      return check_arg_offset(reg, regno, spec);
    }
    case GlobalArg::Kind::mem:
      break;
  }
  CHECK(check_arg_offset(reg, regno, {}));
  if (!null) {
    const RegState before = reg;
    mark_not_null(reg);
    Status status = check_helper_mem(regno, static_cast<s32>(arg.mem_size), Access::read, true, nullptr);
    if (status.ok())
      status = check_helper_mem(regno, static_cast<s32>(arg.mem_size), Access::write, true, nullptr);
    if (before.type.maybe_null()) reg = before;
    if (!status.ok()) return Status(EINVAL);
  }
  if (!arg.nullable && reg.type.maybe_null())
    return e.reject(EINVAL, "arg#{} is expected to be non-NULL\n", index);
  return passed;
}

/// R1..R5 as the function's signature describes them, for its own verification.
Status Walk::set_global_args(u32 subprog) {
  e.log.trace("Validating {}() func#{}...\n", e.program.subprogs[subprog].name, subprog);
  CHECK(prepare_global_args(subprog));
  const SubprogAux& sub = e.subprog_aux[subprog];
  if (subprog != 0 && subprog == e.program.exception_callback &&
      (sub.arg_count != 1 || sub.args[0].kind != GlobalArg::Kind::anything))
    return e.reject(EINVAL, "exception cb only supports single integer argument\n");
  for (u32 i = 0; i < sub.arg_count; ++i) set_global_arg(regs()[i + 1], sub.args[i]);
  return passed;
}

void Walk::set_global_arg(RegState& reg, const GlobalArg& arg) {
  const u16 null = arg.nullable ? tf::maybe_null : tf::none;
  switch (arg.kind) {
    case GlobalArg::Kind::anything:
    case GlobalArg::Kind::arena:  // the caller may pass a number, too
      mark_unknown(reg);
      return;
    case GlobalArg::Kind::ctx:
      mark_known_zero_pointer(reg, Base::ctx);
      return;
    case GlobalArg::Kind::dynptr:
      set_dynptr(reg, DynptrKind::local, true, ++e.id_gen);
      return;
    case GlobalArg::Kind::mem:
      mark_known_zero_pointer(reg, {Base::mem, null});
      reg.mem_size = arg.mem_size;
      break;
    case GlobalArg::Kind::untrusted_mem:
      mark_known_zero_pointer(reg, {Base::mem, tf::rdonly | tf::untrusted});
      break;
    case GlobalArg::Kind::trusted:
    case GlobalArg::Kind::untrusted: {
      const u16 trust = arg.kind == GlobalArg::Kind::trusted ? tf::trusted : tf::untrusted;
      mark_known_zero_pointer(reg, {Base::btf_id, static_cast<u16>(null | trust)});
      reg.btf = kernel_btf();
      reg.btf_id = arg.btf_id;
      break;
    }
  }
  reg.id = ++e.id_gen;
}

}  // namespace skep::verifier
