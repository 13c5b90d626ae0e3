// The end of a function: returning into a caller's frame, or the program's verdict (kernel: the BPF_EXIT case
// of do_check(), prepare_func_exit(), check_return_code(), check_resource_leak()).
#include "progs/prog_type.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

Status Walk::check_exit(const Insn& insn, bool& path_ends) {
  ++e.jmps_processed;
  if (is_reg_source(insn.code) || insn.imm != 0 || insn.src != 0 || insn.dst != 0 ||
      class_of(insn.code) == op::JMP32)
    return e.reject(EINVAL, "BPF_EXIT uses reserved fields\n");
  const bool main = e.cur->curframe == 0;
  CHECK(check_resource_leak("BPF_EXIT instruction in main prog", main));
  if (!main) {
    CHECK(return_from_subprog());
    print_full_state = true;
    insn_idx_set = true;
    return passed;
  }
  CHECK(check_return_value(0, "R0"));
  path_ends = true;
  return passed;
}

/// Nothing acquired may be left behind. `what` opens the message.
Status Walk::check_resource_leak(std::string_view what, bool locks_too) {
  if (locks_too && e.cur->active_locks != 0)
    return e.reject(EINVAL, "{} cannot be used inside bpf_spin_lock-ed region\n", what);
  if (const Status leak = check_reference_leak(); !leak.ok()) {
    (void)e.reject(EINVAL, "{} would lead to reference leak\n", what);
    return leak;
  }
  if (!locks_too) return passed;
  std::string_view region;
  if (e.cur->active_irq_id != 0)
    region = "bpf_local_irq_save";
  else if (e.cur->active_rcu_lock)
    region = "bpf_rcu_read_lock";
  else if (e.cur->active_preempt_locks != 0)
    region = "bpf_preempt_disable";
  return region.empty() ? passed : e.reject(EINVAL, "{} cannot be used inside {}-ed region\n", what, region);
}

/// bpf_throw() unwinds every frame at once: nothing may be held in any of them.
bool Walk::throws(const Insn& insn) const {
  if (insn.code != (op::JMP | op::CALL) || insn.src != uapi::PSEUDO_KFUNC_CALL || insn.off != 0 ||
      insn.imm <= 0)
    return false;
  const btf::Btf* types = kernel_btf();
  return types != nullptr && types->name(static_cast<u32>(insn.imm)) == "bpf_throw";
}

Status Walk::leave_by_exception(bool& path_ends) {
  throwing = true;
  const Status status = check_resource_leak("bpf_throw", true);
  throwing = false;
  path_ends = status.ok();
  return status;
}

Status Walk::check_reference_leak() {
  if (!throwing && e.cur->curframe != 0) return passed;  // the caller may hold it, and give it back
  Status status = passed;
  for (u32 i = 0; i < e.cur->ref_count; ++i) {
    const Reference& ref = e.cur->refs[i];
    if (ref.kind != RefKind::pointer) continue;
    // What a function of the kernel's returns is the kernel's again.
    if (!throwing && e.input.type == ProgType::struct_ops && regs()[0].ref_obj_id == ref.id) continue;
    status = e.reject(EINVAL, "Unreleased reference id={} alloc_insn={}\n", ref.id, ref.insn_idx);
  }
  return status;
}

/// Leaves the innermost frame; e.insn_idx becomes the instruction after the call.
Status Walk::return_from_subprog() {
  live.update(*e.cur);
  State& state = *e.cur;
  Frame& callee = state.cur();
  RegState& r0 = callee.regs[0];
  if (r0.type.base == Base::stack) return e.reject(EINVAL, "cannot return stack pointer to the caller\n");
  Frame& caller = *state.frame[state.curframe - 1];
  const bool callback = callee.in_callback;
  if (callback) {
    if (!r0.is_scalar()) return e.reject(EACCES, "R0 not a scalar value\n");
    CHECK(mark_precise(0));
    if (r0.num.smin < callee.callback_range.min || r0.num.smax > callee.callback_range.max)
      return reject_out_of_range(r0, callee.callback_range, "At callback return", "R0");
  } else {
    caller.regs[0] = r0;
  }
  const u32 next = static_cast<u32>(callee.callsite) + (callback ? 0 : 1);
  if (e.log.tracing()) {
    e.log.trace("returning from callee:\n");
    print_frame(e.log, state, callee, nullptr);
    e.log.trace("to caller at {}:\n", next);
    print_frame(e.log, state, caller, nullptr);
  }
  e.pool.release_frame(&callee);
  state.frame.set(state.curframe--, nullptr);
  e.insn_idx = next;
  live.forget_current();
  if (callback) {
    if (State* before = find_prev_entry(&state, next)) widen_imprecise(*before, state);
  }
  return passed;
}

Status Walk::reject_out_of_range(const RegState& reg, ReturnRange range, std::string_view where,
                                 std::string_view reg_name) {
  std::string known;
  if (reg.num.smin > INT64_MIN) known += fmt::format(" smin={}", reg.num.smin);
  if (reg.num.smax < INT64_MAX) known += fmt::format(" smax={}", reg.num.smax);
  if (known.empty()) known = " unknown scalar value";
  return e.reject(EINVAL, "{} the register {} has{} should have been in [{}, {}]\n", where, reg_name, known,
                  range.min, range.max);
}

/// Callbacks that run by themselves return 0, work of a task any number of 32 bits.
Status Walk::check_async_return(u32 regno, std::string_view reg_name) {
  const RegState& reg = regs()[regno];
  if (!reg.is_scalar())
    return e.reject(EINVAL, "At async callback return the register R{} is not a known value ({})\n", regno,
                    type_text(reg.type));
  CHECK(mark_precise(regno));
  const ReturnRange range = e.cur->frame[0]->callback_range;
  if (reg.num.smin < range.min || reg.num.smax > range.max)
    return reject_out_of_range(reg, range, "At async callback return", reg_name);
  return passed;
}

/// What the program must return; nothing if anything goes.
std::optional<ReturnRange> Walk::wanted_result() const {
  const AttachTarget& attach = e.program.attach;
  if (e.input.type != ProgType::lsm) {
    const auto range = progs::return_range(e.input.type, e.input.expected_attach_type);
    return range ? std::optional<ReturnRange>({range->min, range->max}) : std::nullopt;
  }
  if (e.input.expected_attach_type != AttachType::lsm_cgroup) return attach.result;
  return attach.proto->type == 0 ? ReturnRange{1, 1} : ReturnRange{0, 1};
}

/// kernel: check_return_code()
Status Walk::check_return_value(u32 regno, std::string_view reg_name) {
  const AttachTarget& attach = e.program.attach;
  const bool lsm = e.input.type == ProgType::lsm;
  const bool of_cgroup = lsm && e.input.expected_attach_type == AttachType::lsm_cgroup;
  const bool returns_void = attach.proto != nullptr && attach.proto->type == 0;
  if ((attach.table != nullptr || (lsm && !of_cgroup)) && returns_void && is_main_root()) return passed;
  CHECK(check_reg(regno, Use::source));
  const RegState& reg = regs()[regno];
  if (e.cur->frame[0]->in_async_callback) return check_async_return(regno, reg_name);
  if (!is_main_root()) {  // a global function by itself
    if (!reg.is_scalar())
      return e.reject(EINVAL, "At subprogram exit the register R{} is not a scalar value ({})\n", regno,
                      type_text(reg.type));
    return passed;
  }
  const auto range = wanted_result();
  if (!range) return passed;
  if (!reg.is_scalar())
    return e.reject(EINVAL, "At program exit the register R{} is not a known value ({})\n", regno,
                    type_text(reg.type));
  CHECK(mark_precise(regno));
  const bool in_32_bits = lsm && !of_cgroup;
  const s64 min = in_32_bits ? reg.num.smin32 : reg.num.smin;
  const s64 max = in_32_bits ? reg.num.smax32 : reg.num.smax;
  if (min >= range->min && max <= range->max) return passed;
  const Status status = reject_out_of_range(reg, *range, "At program exit", reg_name);
  if (of_cgroup && returns_void)
    (void)e.reject(EINVAL, "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n");
  return status;
}

}  // namespace skep::verifier
