// A call of a kernel function from its check to its effects (kernel: check_kfunc_call()). Arguments are in
// args.cpp, what comes back in result.cpp.
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Kind;
using kfunc::Call;
using kfunc::Special;

Status Walk::check_kfunc_call(const isa::Insn& insn) {
  // A weak function that was not found: the fixups refuse it if it is ever reached.
  if (insn.imm == 0) return passed;
  const btf::Btf* types = kernel_btf();
  if (types == nullptr || insn.off != 0) return unsupported("functions of kernel modules");
  Call call;
  call.btf = types;
  call.func_id = static_cast<u32>(insn.imm);
  const btf::Type& function = types->type(call.func_id);
  call.name = types->string(function.name_off);
  call.proto = &types->type(function.type);
  const kfunc::Row* row = kfunc::callable(e.input, insn);
  if (row == nullptr) return e.reject(EACCES, "calling kernel function {} is not allowed\n", call.name);
  if (call.name == "__bpf_trap")  // what compilers leave where a value was never set
    return e.reject(EFAULT, "unexpected __bpf_trap() due to uninitialized variable?\n");
  call.flags = row->flags;
  call.special = kfunc::special(call.name);
  if (call.special == Special::res_spin_lock || call.special == Special::res_spin_lock_irqsave)
    CHECK(fork_failed_lock());
  if (call.has(kfunc::sleepable) && !e.cur->in_sleepable)
    return e.reject(EACCES, "program must be sleepable to call sleepable kfunc {}\n", call.name);
  for (u32 i = 1; i <= call.btf->entries(*call.proto).size() && i <= 5; ++i) scratch_reg(i);
  CHECK(check_kfunc_args(call));
  CHECK(enter_kfunc_callback(call));
  if (call.special == Special::session_cookie) call.r0_size = 8;
  CHECK(enter_or_leave_region(call));
  if (call.release_regno != 0 && !release_reference(regs()[call.release_regno].ref_obj_id).ok())
    return e.reject(EINVAL, "kfunc {}#{} reference has not been acquired before\n", call.name, call.func_id);
  CHECK(hand_over_node(call));
  if (call.special == Special::throw_) {
    e.seen_exception = true;
    if (e.program.exception_callback == 0) CHECK(check_return_value(1, "R1"));
  }
  clear_caller_saved(e.cur->cur());
  CHECK(set_kfunc_result(call));
  if (call.special == Special::xdp_pull_data) clear_packet_pointers();
  if (call.has(kfunc::iter_next)) return fork_iteration(call);
  return passed;
}

/// RCU sections, and sections that cannot be preempted.
Status Walk::enter_or_leave_region(const Call& call) {
  State& state = *e.cur;
  const bool sleeps = call.has(kfunc::sleepable);
  const bool lock = call.special == Special::rcu_read_lock, unlock = call.special == Special::rcu_read_unlock;
  if (state.active_rcu_lock) {
    if ((lock || unlock) && in_rbtree_callback())
      return e.reject(EACCES, "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback\n");
    if (lock) return e.reject(EINVAL, "nested rcu read lock (kernel function {})\n", call.name);
    if (unlock) {
      leave_rcu_section();
    } else if (sleeps) {
      return e.reject(EACCES, "kernel func {} is sleepable within rcu_read_lock region\n", call.name);
    }
  } else if (lock) {
    state.active_rcu_lock = true;
  } else if (unlock) {
    return e.reject(EINVAL, "unmatched rcu read unlock (kernel function {})\n", call.name);
  }
  const bool disable = call.special == Special::preempt_disable,
             enable = call.special == Special::preempt_enable;
  if (state.active_preempt_locks != 0) {
    if (enable) --state.active_preempt_locks;
    if (!enable && !disable && sleeps)
      return e.reject(EACCES, "kernel func {} is sleepable within non-preemptible region\n", call.name);
  } else if (enable) {
    return e.reject(EINVAL, "unmatched attempt to enable preemption (kernel function {})\n", call.name);
  }
  if (disable) ++state.active_preempt_locks;
  if (state.active_irq_id != 0 && sleeps)
    return e.reject(EACCES, "kernel func {} is sleepable within IRQ-disabled region\n", call.name);
  return passed;
}

/// What was protected by the section is not any more.
void Walk::leave_rcu_section() {
  e.cur->active_rcu_lock = false;
  auto expose = [](RegState& reg) {
    if ((reg.type.flags & tf::rcu) == 0) return;
    reg.type.flags = static_cast<u16>((reg.type.flags & ~(tf::rcu | tf::maybe_null)) | tf::untrusted);
  };
  for (u32 f = 0; f <= e.cur->curframe; ++f) {
    Frame& frame = *e.cur->frame[f];
    for (RegState& reg : frame.regs) expose(reg);
    const Stack& stack = frame.slots;
    for (u64 left = stack.present(); left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      if (stack[i].is_spilled() || stack[i].bytes[7] == SlotByte::iter) expose(frame.slots[i].spilled);
    }
  }
}

// --- interrupt flags -------------------------------------------------------------------------------------

/// bpf_local_irq_save() stores its flag in a slot of the stack, which only the matching restore may take
/// (kernel: process_irq_flag()).
Status Walk::check_irq_flag(const Call& call, u32 regno) {
  RegState& reg = regs()[regno];
  if (reg.type != Base::stack)
    return e.reject(EINVAL, "arg#{} doesn't point to an irq flag on stack\n", regno - 1);
  u32 spi = 0;
  const SlotPlace place = object_slot(reg, "irq_flag", 1, spi);
  const bool by_lock =
      call.special == Special::res_spin_lock_irqsave || call.special == Special::res_spin_unlock_irqrestore;
  if (call.special == Special::local_irq_save || call.special == Special::res_spin_lock_irqsave) {
    const bool taken = place == SlotPlace::ok && stack_of(reg).slots[spi].bytes[7] == SlotByte::irq_flag;
    if (place == SlotPlace::bad || taken)
      return e.reject(EINVAL, "expected uninitialized irq flag as arg#{}\n", regno - 1);
    CHECK(check_mem_access(regno, 0, 8, Access::write, -1, false, false));
    if (object_slot(reg, "irq_flag", 1, spi) != SlotPlace::ok) return Status(EINVAL);
    const u32 id = ++e.id_gen;
    e.pool.push_reference(*e.cur, {id, static_cast<s32>(e.insn_idx), RefKind::irq});
    e.cur->active_irq_id = id;
    set_object_slot(frame_of(reg), spi, SlotByte::irq_flag, id);
    frame_of(reg).slots[spi].spilled.by_lock = by_lock;
    return passed;
  }
  if (place != SlotPlace::ok || stack_of(reg).slots[spi].bytes[7] != SlotByte::irq_flag ||
      stack_of(reg).slots[spi].spilled.ref_obj_id == 0)
    return e.reject(EINVAL, "expected an initialized irq flag as arg#{}\n", regno - 1);
  Frame& frame = frame_of(reg);
  live.mark_read(*e.cur, frame.frameno, e.insn_idx, u64{1} << spi);
  const u32 id = frame.slots[spi].spilled.ref_obj_id;
  if (const bool saved_by_lock = frame.slots[spi].spilled.by_lock != 0; saved_by_lock != by_lock)
    return e.reject(EINVAL, "irq flag acquired by {} kfuncs cannot be restored with {} kfuncs\n",
                    saved_by_lock ? "lock" : "native", by_lock ? "lock" : "native");
  State& state = *e.cur;
  if (id != state.active_irq_id) {
    s32 at = 0;
    for (u32 i = 0; i < state.ref_count; ++i)
      if (state.refs[i].id == state.active_irq_id) at = state.refs[i].insn_idx;
    return e.reject(EACCES, "cannot restore irq state out of order, expected id={} acquired at insn_idx={}\n",
                    state.active_irq_id, at);
  }
  u32 before = 0;
  for (u32 i = 0; i < state.ref_count; ++i) {
    if (state.refs[i].kind != RefKind::irq) continue;
    if (state.refs[i].id != id) {
      before = state.refs[i].id;
      continue;
    }
    for (u32 k = i + 1; k < state.ref_count; ++k) state.refs[k - 1] = state.refs[k];
    --state.ref_count;
    break;
  }
  state.active_irq_id = before;
  clear_object_slots(frame, spi, 1);
  return passed;
}

}  // namespace skep::verifier
