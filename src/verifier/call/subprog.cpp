// Calls of the program's own functions: static ones are walked in the caller's context, global ones by
// themselves, from their BTF signature (kernel: check_func_call(), setup_func_entry(),
// btf_prepare_func_args(), btf_check_func_arg_match()).
#include "verifier/kfunc/context_types.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Kind;

Status Walk::check_subprog_call(const isa::Insn& insn) {
  const s32 found = e.program.find_subprog(e.insn_idx + static_cast<u32>(insn.imm) + 1);
  if (found < 0)
    return e.reject(EFAULT, "no program starts at insn {}\n", e.insn_idx + static_cast<u32>(insn.imm) + 1);
  const auto subprog = static_cast<u32>(found);
  return is_global(subprog) ? check_global_call(subprog) : enter_subprog(subprog);
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
  state.frame[++state.curframe] = callee;
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

Status Walk::check_global_call(u32 subprog) {
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
  if (const Status args = check_global_args(subprog); !args.ok()) {
    (void)e.reject(EINVAL, "Caller passes invalid args into func#{} ('{}')\n", subprog, name);
    return args;
  }
  e.log.trace("Func#{} ('{}') is global and assumed valid.\n", subprog, name);
  if (e.program.subprogs[subprog].changes_pkt_data) clear_packet_pointers();
  e.subprog_aux[subprog].called = true;
  clear_caller_saved(e.cur->cur());
  mark_unknown(regs()[0]);
  return passed;
}

/// The arguments of a global function by its BTF (kernel: btf_prepare_func_args()).
Status Walk::prepare_global_args(u32 subprog) {
  SubprogAux& sub = e.subprog_aux[subprog];
  if (sub.args_cached) return passed;
  const btf::Btf* types = e.input.btf;
  const std::string_view name = e.program.subprogs[subprog].name;
  const u32 func_id = e.program.subprogs[subprog].type_id;
  if (types == nullptr || func_id == 0) return e.reject(EFAULT, "Type doesn't exist\n");
  const btf::Type& proto = types->type(types->type(func_id).type);
  const auto params = types->entries(proto);
  if (params.size() > 5)
    return e.reject(EINVAL, "Global function {}() with {} > 5 args. Buggy compiler.\n", name, params.size());
  const btf::Type& ret = types->type(types->skip_modifiers(proto.type));
  if (ret.kind != Kind::int_ && ret.kind != Kind::enum_ && ret.kind != Kind::enum64)
    return e.reject(EINVAL, "Global function {}() doesn't return scalar. Only those are supported.\n", name);
  for (u32 i = 0; i < params.size(); ++i) {
    GlobalArg& arg = sub.args[i];
    const u32 id = types->skip_modifiers(params[i].type);
    const btf::Type& type = types->type(id);
    switch (type.kind) {
      case Kind::int_:
      case Kind::enum_:
      case Kind::enum64:
        arg.kind = GlobalArg::Kind::anything;
        continue;
      case Kind::ptr:
        break;
      default:
        return e.reject(EINVAL, "Arg#{} type in {}() is not supported yet.\n", i, name);
    }
    const u32 target = types->skip_modifiers(type.type);
    const std::string_view target_name = types->name(target);
    if (kfunc::is_context_type(*types, type, e.input.type)) {
      arg.kind = GlobalArg::Kind::ctx;
      continue;
    }
    // A pointer to anything of known size; NULL is allowed unless a tag says otherwise.
    arg.kind = GlobalArg::Kind::mem;
    arg.nullable = true;
    const u32 func_type = func_id;
    for (u32 t = 1; t <= types->type_count(); ++t) {
      const btf::Type& tag = types->type(t);
      if (tag.kind != Kind::decl_tag || tag.type != func_type || tag.component != static_cast<s32>(i))
        continue;
      const std::string_view text = types->string(tag.name_off);
      if (text == "arg:nonnull")
        arg.nullable = false;
      else if (text == "arg:ctx")
        arg.kind = GlobalArg::Kind::ctx;
      else if (text.starts_with("arg:") && text != "arg:nullable")
        return unsupported(fmt::format("'{}' on argument {} of {}()", text, i, name));
    }
    if (arg.kind == GlobalArg::Kind::ctx) continue;
    const Result<u64> size = types->size_of(target);
    if (!size)
      return e.reject(EINVAL, "arg#{} reference type('{} {}') size cannot be determined: -22\n", i,
                      types->type(target).kind == Kind::fwd ? "FWD" : "UNKNOWN", target_name);
    arg.mem_size = static_cast<u32>(*size);
  }
  sub.arg_count = static_cast<u8>(params.size());
  sub.args_cached = true;
  return passed;
}

/// The registers of a call fit the function's signature (kernel: btf_check_func_arg_match()).
Status Walk::check_global_args(u32 subprog) {
  CHECK(prepare_global_args(subprog));
  const SubprogAux& sub = e.subprog_aux[subprog];
  for (u32 i = 0; i < sub.arg_count; ++i) {
    const u32 regno = i + 1;
    RegState& reg = regs()[regno];
    const GlobalArg& arg = sub.args[i];
    if (arg.kind == GlobalArg::Kind::anything) {
      if (!reg.is_scalar()) return e.reject(EINVAL, "R{} is not a scalar\n", regno);
    } else if (arg.kind == GlobalArg::Kind::ctx) {
      CHECK(check_arg_offset(reg, regno, {}));
      if (reg.type != Base::ctx) return e.reject(EINVAL, "arg#{} expects pointer to ctx\n", i);
    } else {
      CHECK(check_arg_offset(reg, regno, {}));
      if (!(reg.is_const() && reg.num.var_off.value == 0)) {
        const RegState before = reg;
        mark_not_null(reg);
        Status status = check_helper_mem(regno, static_cast<s32>(arg.mem_size), Access::read, true, nullptr);
        if (status.ok())
          status = check_helper_mem(regno, static_cast<s32>(arg.mem_size), Access::write, true, nullptr);
        if (before.type.maybe_null()) reg = before;
        if (!status.ok()) return Status(EINVAL);
      }
      if (!arg.nullable && reg.type.maybe_null())
        return e.reject(EINVAL, "arg#{} is expected to be non-NULL\n", i);
    }
  }
  return passed;
}

/// R1..R5 as the function's signature describes them, for its own verification.
Status Walk::set_global_args(u32 subprog) {
  e.log.trace("Validating {}() func#{}...\n", e.program.subprogs[subprog].name, subprog);
  CHECK(prepare_global_args(subprog));
  const SubprogAux& sub = e.subprog_aux[subprog];
  if (subprog == e.program.exception_callback &&
      (sub.arg_count != 1 || sub.args[0].kind != GlobalArg::Kind::anything))
    return e.reject(EINVAL, "exception cb only supports single integer argument\n");
  for (u32 i = 0; i < sub.arg_count; ++i) {
    RegState& reg = regs()[i + 1];
    switch (sub.args[i].kind) {
      case GlobalArg::Kind::anything:
        mark_unknown(reg);
        break;
      case GlobalArg::Kind::ctx:
        mark_known_zero_pointer(reg, Base::ctx);
        break;
      default:
        mark_known_zero_pointer(reg, {Base::mem, sub.args[i].nullable ? tf::maybe_null : tf::none});
        reg.mem_size = sub.args[i].mem_size;
        if (sub.args[i].nullable) reg.id = ++e.id_gen;
    }
  }
  return passed;
}

}  // namespace skep::verifier
