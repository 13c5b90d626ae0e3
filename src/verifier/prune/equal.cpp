// Is what was safe for an old state safe for the current one? (kernel: states_equal(), regsafe(),
// stacksafe()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

bool same_but_ids(const RegState& a, const RegState& b) {
  return a.type == b.type && a.off == b.off && a.raw == b.raw && a.map_uid == b.map_uid && a.num == b.num;
}

bool contains(const RegState& old, const RegState& cur) {
  return range_within(old.num, cur.num) && tnum_in(old.num.var_off, cur.num.var_off);
}

/// What a load of eight bytes that hold anything gives.
RegState unbound_scalar() {
  RegState reg;
  reg.type = Base::scalar;
  return reg;
}

bool all_misc(const StackSlot& slot) {
  for (const SlotByte byte : slot.bytes)
    if (byte != SlotByte::misc && byte != SlotByte::invalid) return false;
  return true;
}

}  // namespace

bool Walk::states_equal(const State& old, const State& cur, Exactness exact) {
  if (old.curframe != cur.curframe) return false;
  if (old.speculative && !cur.speculative) return false;
  if (old.in_sleepable != cur.in_sleepable || old.active_locks != cur.active_locks) return false;
  idmap.reset(e.id_gen);
  if (!refs_safe(old, cur)) return false;
  for (u32 f = 0; f <= old.curframe; ++f) {
    if (old.frame[f]->callsite != cur.frame[f]->callsite) return false;
    if (!frames_equal(*old.frame[f], *cur.frame[f], frame_insn_idx(old, f), exact)) return false;
  }
  return true;
}

bool Walk::refs_safe(const State& old, const State& cur) {
  if (old.ref_count != cur.ref_count) return false;
  if (old.active_rcu_lock != cur.active_rcu_lock || old.active_preempt_locks != cur.active_preempt_locks ||
      !idmap.check(old.active_irq_id, cur.active_irq_id))
    return false;
  if (old.active_lock_ptr != cur.active_lock_ptr || !idmap.check(old.active_lock_id, cur.active_lock_id))
    return false;
  for (u32 i = 0; i < old.ref_count; ++i)
    if (old.refs[i].kind != cur.refs[i].kind || old.refs[i].ptr != cur.refs[i].ptr ||
        !idmap.check(old.refs[i].id, cur.refs[i].id))
      return false;
  return true;
}

bool Walk::frames_equal(const Frame& old, const Frame& cur, u32 insn_idx, Exactness exact) {
  if (old.callback_depth > cur.callback_depth) return false;
  const u32 live_regs = e.program.notes[insn_idx].live_regs_before;
  for (u32 i = 0; i < reg_count; ++i)
    if ((live_regs >> i & 1) != 0 && !reg_safe(old.regs[i], cur.regs[i], exact)) return false;
  return stack_safe(old, cur, exact);
}

bool Walk::reg_safe(const RegState& old, const RegState& cur, Exactness exact) {
  auto exactly = [&] {
    return same_but_ids(old, cur) && idmap.check(old.id, cur.id) &&
           idmap.check(old.ref_obj_id, cur.ref_obj_id);
  };
  if (exact == Exactness::exact) return exactly();
  if (old.type.base == Base::not_init) return true;
  if (old.type != cur.type) return false;
  switch (old.type.base) {
    case Base::scalar: {
      if (!old.precise && exact == Exactness::not_exact) return true;
      const bool old_far = (old.id & id_add_const) != 0, cur_far = (cur.id & id_add_const) != 0;
      if (old_far && (old.id & id_add_const) != (cur.id & id_add_const)) return false;
      if (old.id != 0 && !old_far && cur_far) return false;
      if (old_far && old.off != cur.off) return false;
      return idmap.check_scalar(old.id, cur.id, id_add_const) && contains(old, cur);
    }
    case Base::map_key:
    case Base::map_value:
    case Base::mem:
    case Base::buf:
    case Base::tp_buffer:
      return old.off == cur.off && old.raw == cur.raw && old.map_uid == cur.map_uid && contains(old, cur) &&
             idmap.check(old.id, cur.id) && idmap.check(old.ref_obj_id, cur.ref_obj_id);
    case Base::packet_meta:
    case Base::packet:
      if (old.range < 0 || cur.range < 0) {
        if (old.range != cur.range) return false;
      } else if (old.range > cur.range) {
        return false;
      }
      return old.off == cur.off && idmap.check(old.id, cur.id) && contains(old, cur);
    case Base::stack:
      return exactly() && old.frameno == cur.frameno;
    case Base::arena:
      return true;
    default:
      return exactly();
  }
}

/// Slot by slot; what the current stack has beyond the old one does not matter.
bool Walk::stack_safe(const Frame& old, const Frame& cur, Exactness exact) {
  const RegState unbound = unbound_scalar();
  auto as_scalar = [&](const StackSlot& slot) -> const RegState* {
    if (slot.is_spilled_scalar_whole()) return &slot.spilled;
    return all_misc(slot) ? &unbound : nullptr;
  };
  for (u32 s = 0; s < old.slot_count; ++s) {
    const StackSlot& was = old.slots[s];
    const bool present = s < cur.slot_count;
    if (exact != Exactness::not_exact) {
      if (!present) return false;
    }
    for (u32 b = 0; b < 8; ++b) {
      const SlotByte kind = was.bytes[b];
      if (exact != Exactness::not_exact && kind != cur.slots[s].bytes[b]) return false;
      if (kind == SlotByte::invalid || kind == SlotByte::misc) continue;
      if (!present) return false;
      const StackSlot& now = cur.slots[s];
      const RegState* was_scalar = as_scalar(was);
      const RegState* now_scalar = as_scalar(now);
      if (was_scalar != nullptr && now_scalar != nullptr) {
        if (!reg_safe(*was_scalar, *now_scalar, exact)) return false;
        break;
      }
      if (kind != now.bytes[b]) return false;
      if (b != 7) continue;
      if (kind == SlotByte::spill && !reg_safe(was.spilled, now.spilled, exact)) return false;
      const RegState& a = was.spilled;
      const RegState& c = now.spilled;
      if (kind == SlotByte::iter &&
          (a.btf != c.btf || a.btf_id != c.btf_id || iter_state_of(a.iter) != iter_state_of(c.iter) ||
           !idmap.check(a.ref_obj_id, c.ref_obj_id)))
        return false;
      if (kind == SlotByte::irq_flag && (a.by_lock != c.by_lock || !idmap.check(a.ref_obj_id, c.ref_obj_id)))
        return false;
      if (kind == SlotByte::dynptr && (a.mem_size != c.mem_size || !idmap.check(a.ref_obj_id, c.ref_obj_id)))
        return false;
    }
  }
  return true;
}

}  // namespace skep::verifier
