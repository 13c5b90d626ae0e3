// Is what was safe for an old state safe for the current one? (kernel: states_equal(), regsafe(),
// stacksafe()).
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

bool same_but_ids(const RegState& a, const RegState& b) {
  return a.type == b.type && a.off == b.off && a.raw == b.raw && a.map_uid == b.map_uid && a.num == b.num;
}

bool contains(const RegState& old, const RegState& cur) {
  if (old.num.umin > cur.num.umin || old.num.umax < cur.num.umax) return false;  // most often it is these
  return range_within(old.num, cur.num) && tnum_in(old.num.var_off, cur.num.var_off);
}

/// What a load of eight bytes that hold anything gives.
constexpr RegState unbound_scalar = [] {
  RegState reg;
  reg.type = Base::scalar;
  return reg;
}();

u64 bytes_of(const StackSlot& slot) { return std::bit_cast<u64>(slot.bytes); }

/// A mask of the bytes of which more is known than that they were written, if that.
u64 telling_bytes(u64 bytes) {
  static_assert(static_cast<u32>(SlotByte::invalid) == 0 && static_cast<u32>(SlotByte::misc) == 2 &&
                static_cast<u32>(SlotByte::irq_flag) < 8);
  constexpr u64 each = 0x0101010101010101;
  const u64 other = bytes & ~(each * 2);
  return ((other | other >> 2) & each) * 0xff;
}

}  // namespace

/// The register that made the last comparison with `kept` fail makes this one fail, too. It is asked with no
/// id mapped yet, so that what fails here fails in states_equal(): there ids may be mapped already, which
/// only refuses more.
bool Walk::differs_as_before(const ExploredState& kept, const State& cur, Exactness exact) {
  const u32 i = kept.differing_reg;
  if (i == reg_count) return false;
  const Frame& old = *std::as_const(*kept.state).frame[kept.differing_frame];
  idmap.reset(e.id_gen);
  return !reg_safe(old.regs[i], (old.precise_regs >> i & 1) != 0, cur.frame[kept.differing_frame]->regs[i],
                   exact);
}

/// Whether `cur` equals a checkpoint whose paths are done; if not, the checkpoint remembers by what.
bool Walk::equals_finished(ExploredState& kept, const State& cur, Exactness exact) {
  if (kept.curframe != cur.curframe || differs_as_before(kept, cur, exact)) return false;
  if (states_equal(*kept.state, cur, exact)) return true;
  if (differing_reg == reg_count) return false;
  const Frame& frame = *std::as_const(*kept.state).frame[differing_frame];
  const RegState& was = frame.regs[differing_reg];
  kept.differing_frame = differing_frame;
  kept.differing_reg = differing_reg;
  kept.type = was.type;
  // Whatever reg_safe() asks of a number that counts, it asks these.
  const bool any =
      was.type.base == Base::arena || (was.is_scalar() && (frame.precise_regs >> differing_reg & 1) == 0);
  kept.umin = any ? 0 : was.num.umin;
  kept.umax = any ? ~u64{0} : was.num.umax;
  return false;
}

bool Walk::states_equal(const State& old, const State& cur, Exactness exact) {
  differing_reg = reg_count;
  if (old.curframe != cur.curframe) return false;
  if (old.speculative && !cur.speculative) return false;
  if (old.in_sleepable != cur.in_sleepable || old.active_locks != cur.active_locks) return false;
  idmap.reset(e.id_gen);
  if (!refs_safe(old, cur)) return false;
  for (u32 f = 0; f <= old.curframe; ++f) {
    if (old.frame[f]->callsite != cur.frame[f]->callsite) return false;
    differing_frame = static_cast<u8>(f);
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
  // The frame pointer is what it is in any state.
  for (u32 left = live_regs & ((1u << frame_pointer) - 1); left != 0; left &= left - 1) {
    const u32 i = static_cast<u32>(std::countr_zero(left));
    // An imprecise number accepts any other.
    if (exact == Exactness::not_exact && (old.precise_regs >> i & 1) == 0 && old.regs[i].is_scalar() &&
        cur.regs[i].type == old.regs[i].type)
      continue;
    if (!reg_safe(old.regs[i], (old.precise_regs >> i & 1) != 0, cur.regs[i], exact)) {
      differing_reg = static_cast<u8>(i);
      return false;
    }
  }
  return stack_safe(old, cur, exact);
}

bool Walk::reg_safe(const RegState& old, bool precise, const RegState& cur, Exactness exact) {
  auto exactly = [&] {
    return same_but_ids(old, cur) && idmap.check(old.id, cur.id) &&
           idmap.check(old.ref_obj_id, cur.ref_obj_id);
  };
  if (exact == Exactness::exact) return exactly();
  if (old.type.base == Base::not_init) return true;
  if (old.type != cur.type) return false;
  switch (old.type.base) {
    case Base::scalar: {
      if (!precise && exact == Exactness::not_exact) return true;
      const bool old_far = (old.id & id_add_const) != 0, cur_far = (cur.id & id_add_const) != 0;
      if (old_far && (old.id & id_add_const) != (cur.id & id_add_const)) return false;
      if (old.id != 0 && !old_far && cur_far) return false;
      if (old_far && old.off != cur.off) return false;
      return contains(old, cur) && idmap.check_scalar(old.id, cur.id, id_add_const);
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

/// Slot by slot; what the current stack has beyond the old one does not matter. A byte that the old state
/// knows nothing of, or only that it was written, accepts anything.
bool Walk::stack_safe(const Frame& old, const Frame& cur, Exactness exact) {
  if (exact != Exactness::not_exact) {
    if (old.slot_count > cur.slot_count) return false;
    const u64 within = old.slot_count == max_slots ? ~u64{0} : (u64{1} << old.slot_count) - 1;
    for (u64 left = (old.slots.present() | cur.slots.present()) & within; left != 0; left &= left - 1) {
      const u32 s = static_cast<u32>(std::countr_zero(left));
      if (bytes_of(old.slots[s]) != bytes_of(cur.slots[s])) return false;
    }
  }
  for (u64 left = old.slots.present(); left != 0; left &= left - 1) {
    const u32 s = static_cast<u32>(std::countr_zero(left));
    const StackSlot& was = old.slots[s];
    const u64 telling = telling_bytes(bytes_of(was));
    if (telling == 0) continue;
    if (s >= cur.slot_count) return false;
    if (!slot_safe(was, (old.precise_slots >> s & 1) != 0, cur.slots[s], telling, exact)) return false;
  }
  return true;
}

/// `telling`: the bytes of `was` that matter, as a mask.
bool Walk::slot_safe(const StackSlot& was, bool precise, const StackSlot& now, u64 telling, Exactness exact) {
  if (was.is_spilled_scalar_whole()) {
    if (now.is_spilled_scalar_whole()) return reg_safe(was.spilled, precise, now.spilled, exact);
    if (telling_bytes(bytes_of(now)) == 0) return reg_safe(was.spilled, precise, unbound_scalar, exact);
  }
  if (((bytes_of(was) ^ bytes_of(now)) & telling) != 0) return false;
  const RegState& a = was.spilled;
  const RegState& c = now.spilled;
  switch (was.bytes[7]) {
    case SlotByte::spill:
      return reg_safe(a, precise, c, exact);
    case SlotByte::iter:
      return a.btf == c.btf && a.btf_id == c.btf_id && iter_state_of(a.iter) == iter_state_of(c.iter) &&
             idmap.check(a.ref_obj_id, c.ref_obj_id);
    case SlotByte::irq_flag:
      return a.by_lock == c.by_lock && idmap.check(a.ref_obj_id, c.ref_obj_id);
    case SlotByte::dynptr:
      return a.mem_size == c.mem_size && idmap.check(a.ref_obj_id, c.ref_obj_id);
    default:
      return true;
  }
}

}  // namespace skep::verifier
