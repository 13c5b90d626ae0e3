// Calls of helpers: may this program call it, do the arguments fit its contract, what comes back (kernel:
// check_helper_call()).
#include "verifier/call/helper_ids.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;
using helpers::Arg;
using helpers::Ret;

std::string Walk::helper_text(s32 func_id) const {
  std::string_view name = func_id == 0 ? "bpf_unspec" : "unknown";
  if (func_id > 0 && e.input.helper_name != nullptr) name = e.input.helper_name(static_cast<u32>(func_id));
  return fmt::format("{}#{}", name, func_id);
}

bool Walk::kfunc_under_lock(const Insn& insn) const {
  const btf::Btf* types = kernel_btf();
  if (types == nullptr || insn.off != 0) return false;
  return kfunc::allowed_under_lock(kfunc::special(types->name(static_cast<u32>(insn.imm))));
}

Status Walk::check_call(const Insn& insn) {
  const bool kfunc = insn.src == uapi::PSEUDO_KFUNC_CALL;
  if (is_reg_source(insn.code) || (!kfunc && insn.off != 0) ||
      (insn.src != 0 && insn.src != uapi::PSEUDO_CALL && !kfunc) || insn.dst != 0 ||
      class_of(insn.code) == op::JMP32)
    return e.reject(EINVAL, "BPF_CALL uses reserved fields\n");
  if (e.cur->active_locks != 0 &&
      ((insn.src == 0 && insn.imm != fn_id::spin_unlock) || (kfunc && !kfunc_under_lock(insn))))
    return e.reject(EINVAL, "function calls are not allowed while holding a lock\n");
  if (kfunc) return check_kfunc_call(insn);
  return insn.src == uapi::PSEUDO_CALL ? check_subprog_call(insn) : check_helper_call(insn);
}

/// The helper's contract, or why it cannot be called.
Status Walk::check_helper_known(s32 func_id, const helpers::Contract*& contract) {
  if (func_id < 0 || static_cast<u32>(func_id) >= fn_id::max)
    return e.reject(EINVAL, "invalid func {}\n", helper_text(func_id));
  contract = e.input.helper != nullptr
                 ? e.input.helper(e.input.type, e.input.expected_attach_type, static_cast<u32>(func_id))
                 : nullptr;
  if (contract != nullptr) return passed;
  return e.reject(EINVAL, "program of this type cannot use helper {}\n", helper_text(func_id));
}

/// Inside a section that must not be left (kernel: check_helper_call()).
Status Walk::check_may_sleep_here(std::string_view what) {
  if (e.cur->active_rcu_lock) return e.reject(EINVAL, "{} in rcu_read_lock region\n", what);
  if (e.cur->active_preempt_locks != 0) return e.reject(EINVAL, "{} in non-preemptible region\n", what);
  if (e.cur->active_irq_id != 0) return e.reject(EINVAL, "{} in IRQ-disabled region\n", what);
  return passed;
}

Status Walk::check_helper_call(const Insn& insn) {
  const s32 func_id = insn.imm;
  const helpers::Contract* contract = nullptr;
  CHECK(check_helper_known(func_id, contract));
  if (!e.input.gpl_compatible && contract->gpl_only)
    return e.reject(EINVAL, "cannot call GPL-restricted function from non-GPL compatible program\n");
  if (contract->might_sleep && !e.cur->in_sleepable)
    return e.reject(EINVAL, "helper call might sleep in a non-sleepable prog\n");
  if (contract->might_sleep)
    CHECK(check_may_sleep_here(fmt::format("sleepable helper {}", helper_text(func_id))));
  CallMeta meta;
  meta.func_id = func_id;
  meta.pkt_access = contract->pkt_access;
  for (u32 i = 0; i < 5; ++i) CHECK(check_helper_arg(i, *contract, meta));
  CHECK(record_call_map(meta));
  CHECK(record_tail_call_key(meta));
  for (s32 i = 0; i < meta.access_size; ++i)  // memory that the helper fills
    CHECK(check_mem_access(meta.regno, i, 1, Access::write, -1, false, false));
  if (meta.release_regno != 0) CHECK(release_argument(*contract, meta));
  if (func_id == fn_id::tail_call) CHECK(check_resource_leak("tail_call", true));
  clear_caller_saved(e.cur->cur());
  CHECK(set_call_result(*contract, meta));
  CHECK(check_map_helper_pair(meta.map, func_id));
  if (func_id == fn_id::tail_call) return e.cur->curframe != 0 ? leave_by_tail_call() : passed;
  if (contract->changes_packet) clear_packet_pointers();
  return passed;
}

/// A tail call that succeeds ends the subprogram with an unknown result; one that fails goes on.
Status Walk::leave_by_tail_call() {
  scratch_reg(0);
  State* on = nullptr;
  CHECK(push_path(e.insn_idx + 1, e.insn_idx, on));
  clear_packet_pointers();
  mark_unknown(regs()[0]);
  CHECK(return_from_subprog());
  insn_idx_set = true;
  return passed;
}

Status Walk::release_argument(const helpers::Contract&, const CallMeta& meta) {
  const RegState& reg = regs()[meta.release_regno];
  Status status(EINVAL);
  if (meta.ref_obj_id != 0) {
    status = meta.func_id == fn_id::kptr_xchg ? release_to_kptr(meta.ref_obj_id)
                                              : release_reference(meta.ref_obj_id);
  } else if (reg.is_const() && reg.num.var_off.value == 0) {
    status = passed;
  }
  if (!status.ok())
    (void)e.reject(EINVAL, "func {} reference has not been acquired before\n", helper_text(meta.func_id));
  return status;
}

Status Walk::set_call_result(const helpers::Contract& contract, const CallMeta& meta) {
  RegState& r0 = regs()[0];
  u16 flags = (contract.ret_flags & helpers::maybe_null) != 0 ? tf::maybe_null : tf::none;
  switch (contract.ret) {
    case Ret::integer:
      mark_unknown(r0);
      break;
    case Ret::void_:
      mark_not_init(r0);
      break;
    case Ret::map_value: {
      if (meta.map == nullptr) return e.reject(EINVAL, "kernel subsystem misconfigured verifier\n");
      // A constant index inside an array always finds its element.
      if (meta.func_id == fn_id::map_lookup_elem && meta.const_map_key >= 0 &&
          meta.const_map_key < s64{meta.map->max_entries})
        flags = tf::none;
      mark_known_zero_pointer(r0, {Base::map_value, flags});
      r0.map = meta.map;
      r0.map_uid = meta.map_uid;
      if (flags == tf::none && meta.map->record.spin_lock_off >= 0) r0.id = ++e.id_gen;
      break;
    }
    case Ret::ringbuf_mem:
    case Ret::mem:
      if (contract.ret == Ret::ringbuf_mem || (contract.ret_flags & helpers::ringbuf) != 0)
        flags = static_cast<u16>(flags | tf::ringbuf);
      if ((contract.ret_flags & helpers::rdonly) != 0) flags = static_cast<u16>(flags | tf::rdonly);
      mark_known_zero_pointer(r0, {Base::mem, flags});
      r0.mem_size = static_cast<u32>(meta.mem_size);
      break;
    case Ret::socket:
      mark_known_zero_pointer(r0, {Base::sock, flags});
      break;
    case Ret::sock_common:
      mark_known_zero_pointer(r0, {Base::sock_common, flags});
      break;
    case Ret::tcp_sock:
      mark_known_zero_pointer(r0, {Base::tcp_sock, flags});
      break;
    case Ret::btf_id:
    case Ret::mem_or_btf_id:
      CHECK(set_btf_result(contract, meta));
      break;
    default:
      return unsupported("helpers that return this kind of pointer");
  }
  if (r0.type.maybe_null()) r0.id = ++e.id_gen;
  if (fn_id::casts_pointer(meta.func_id)) {
    r0.ref_obj_id = meta.ref_obj_id;
  } else if (fn_id::acquires(meta.func_id, meta.map)) {
    const u32 id = acquire_reference(e.insn_idx);
    r0.id = id;
    r0.ref_obj_id = id;
  }
  if (contract.ret == Ret::integer) {
    if (meta.func_id == fn_id::get_smp_processor_id) {
      r0.num = Scalar::in_range(0, s64{e.input.cpu_count} - 1);
    } else if (fn_id::returns_size(meta.func_id)) {
      r0.num = Scalar::in_range(-4095, static_cast<s64>(meta.msize_max));
    }
  }
  return passed;
}

// --- references ------------------------------------------------------------------------------------------

u32 Walk::acquire_reference(u32 insn_idx) {
  const u32 id = ++e.id_gen;
  e.pool.push_reference(*e.cur, {id, static_cast<s32>(insn_idx), RefKind::pointer});
  return id;
}

bool Walk::release_reference_id(State& state, u32 id) {
  for (u32 i = 0; i < state.ref_count; ++i) {
    if (state.refs[i].kind != RefKind::pointer || state.refs[i].id != id) continue;
    for (u32 k = i + 1; k < state.ref_count; ++k) state.refs[k - 1] = state.refs[k];
    --state.ref_count;
    return true;
  }
  return false;
}

/// The reference is given back: every pointer that depended on it is a mere number now.
Status Walk::release_reference(u32 id) {
  if (!release_reference_id(*e.cur, id)) return Status(EINVAL);
  for_each_reg(*e.cur, [&](RegState& reg) {
    if (reg.ref_obj_id == id) mark_invalid(reg);
  });
  return passed;
}

/// The packet may have moved: no pointer into it holds any longer.
void Walk::clear_packet_pointers() {
  for_each_reg(*e.cur, [&](RegState& reg) {
    if (reg.type.is_packet_any()) mark_invalid(reg);
  });
}

}  // namespace skep::verifier
