// Open-coded iterators: objects of several stack slots that new() makes, next() walks and destroy() ends
// (kernel: process_iter_arg(), process_iter_next_call()).
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using kfunc::Call;

/// The slot of the first word of an object of `count` slots: slots spi, spi-1, ... hold it.
Walk::SlotPlace Walk::object_slot(const RegState& reg, std::string_view what, u32 count, u32& spi) {
  if (!reg.num.is_const()) {
    (void)e.reject(EINVAL, "{} has to be at a constant offset\n", what);
    return SlotPlace::bad;
  }
  const s64 off = s64{reg.off} + static_cast<s64>(reg.num.var_off.value);
  const s64 slot = (-off - 1) / 8;
  if (off % 8 != 0 || off >= 0 || slot + 1 < s64{count}) {
    (void)e.reject(EINVAL, "cannot pass in {} at an offset={}\n", what, off);
    return SlotPlace::bad;
  }
  if (slot >= s64{frame_of(reg).slot_count}) return SlotPlace::unallocated;
  spi = static_cast<u32>(slot);
  return SlotPlace::ok;
}

void Walk::set_object_slot(Frame& frame, u32 spi, SlotByte kind, u32 ref_obj_id) {
  StackSlot& slot = frame.slots[spi];
  mark_known_zero_pointer(slot.spilled, Base::stack);
  slot.spilled.ref_obj_id = ref_obj_id;
  for (SlotByte& byte : slot.bytes) byte = kind;
  scratch_slot(spi);
  live.mark_write(frame.frameno, u64{1} << spi);
}

void Walk::clear_object_slots(Frame& frame, u32 spi, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    scratch_slot(spi - i);
    live.mark_write(frame.frameno, u64{1} << (spi - i));
  }
  e.pool.drop_slots(frame, ((u64{1} << count) - 1) << (spi + 1 - count));
}

namespace {

std::string_view iter_name(const btf::Btf& types, u32 id) {
  constexpr std::string_view prefix = "bpf_iter_";
  const std::string_view name = types.name(id);
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

}  // namespace

Status Walk::check_iter_arg(Call& call, u32 regno) {
  const RegState reg = regs()[regno];
  if (reg.type != Base::stack)
    return e.reject(EINVAL, "arg#{} expected pointer to an iterator on stack\n", regno - 1);
  const btf::Btf& types = *call.btf;
  const btf::Type& pointer = types.type(types.skip_modifiers(types.entries(*call.proto)[regno - 1].type));
  const u32 id = types.skip_modifiers(pointer.type);
  const btf::Type& type = types.type(id);
  if (type.kind != btf::Kind::struct_ || !types.string(type.name_off).starts_with("bpf_iter_"))
    return e.reject(EINVAL, "expected valid iter pointer as arg #{}\n", regno - 1);
  const u32 count = type.size / 8;
  if (call.has(kfunc::iter_new)) return make_iter(call, regno, id, count);
  u32 spi = 0;
  bool valid = object_slot(reg, "iter", count, spi) == SlotPlace::ok;
  Frame& frame = frame_of(reg);
  const Stack& stack = frame.slots;
  for (u32 i = 0; valid && i < count; ++i) {
    const StackSlot& slot = stack[spi - i];
    if (slot.bytes[7] == SlotByte::iter && (slot.spilled.type.flags & tf::untrusted) != 0)
      return e.reject(EPROTO, "expected an RCU CS when using {}\n", call.name);
    valid =
        (i == 0) == (slot.spilled.ref_obj_id != 0) && slot.spilled.btf == &types && slot.spilled.btf_id == id;
    for (const SlotByte byte : slot.bytes) valid = valid && byte == SlotByte::iter;
  }
  if (!valid)
    return e.reject(EINVAL, "expected an initialized iter_{} as arg #{}\n", iter_name(types, id), regno - 1);
  for (u32 i = 0; i < count; ++i) {
    live.mark_read(*e.cur, frame.frameno, e.insn_idx, u64{1} << (spi - i));
    scratch_slot(spi - i);
  }
  call.iter_spi = spi;
  call.iter_frame = reg.frameno;
  call.ref_obj_id = stack[spi].spilled.ref_obj_id;
  if (call.has(kfunc::iter_destroy)) {
    CHECK(release_reference(call.ref_obj_id));
    clear_object_slots(frame, spi, count);
  }
  return passed;
}

Status Walk::make_iter(const Call& call, u32 regno, u32 id, u32 count) {
  const RegState reg = regs()[regno];
  u32 spi = 0;
  const SlotPlace place = object_slot(reg, "iter", count, spi);
  bool taken = place == SlotPlace::bad;
  for (u32 i = 0; place == SlotPlace::ok && i < count; ++i)
    for (const SlotByte byte : stack_of(reg).slots[spi - i].bytes) taken = taken || byte == SlotByte::iter;
  if (taken)
    return e.reject(EINVAL, "expected uninitialized iter_{} as arg #{}\n", iter_name(*call.btf, id),
                    regno - 1);
  for (u32 i = 0; i < count; ++i)
    CHECK(check_mem_access(regno, static_cast<s32>(i * 8), 8, Access::write, -1, false, false));
  if (object_slot(reg, "iter", count, spi) != SlotPlace::ok) return Status(EINVAL);
  const u32 ref = acquire_reference(e.insn_idx);
  Frame& frame = frame_of(reg);
  for (u32 i = 0; i < count; ++i) {
    set_object_slot(frame, spi - i, SlotByte::iter, i == 0 ? ref : 0);
    RegState& slot = frame.slots[spi - i].spilled;
    if (call.has(kfunc::rcu_protected)) slot.type.flags = in_rcu_section() ? tf::rcu : tf::untrusted;
    slot.btf = call.btf;
    slot.btf_id = id;
    slot.iter = iter_state(IterState::active, 0);
  }
  return passed;
}

/// next() gives an element and the loop goes on as a path of its own, or there are no more.
Status Walk::fork_iteration(const Call& call) {
  const u32 iter = std::as_const(*e.cur).frame[call.iter_frame]->slots[call.iter_spi].spilled.iter;
  if (iter_state_of(iter) == IterState::active) {
    State* before = e.cur->parent != nullptr ? find_prev_entry(e.cur->parent, e.insn_idx) : nullptr;
    State* on = nullptr;
    CHECK(push_path(e.insn_idx + 1, e.insn_idx, on));
    RegState& next = on->frame[call.iter_frame]->slots[call.iter_spi].spilled;
    next.iter = iter_state(IterState::active, iter_depth_of(next.iter) + 1);
    if (before != nullptr) widen_imprecise(*before, *on);
    mark_not_null(on->regs()[0]);
  }
  e.cur->frame[call.iter_frame]->slots[call.iter_spi].spilled.iter =
      iter_state(IterState::drained, iter_depth_of(iter));
  mark_known(regs()[0], 0);
  return passed;
}

/// Two states of one loop that differ in how often an iterator has advanced are no infinite loop (kernel:
/// iter_active_depths_differ()).
bool Walk::iter_depths_differ(const State& old, const State& cur) {
  for (u32 f = 0; f <= old.curframe; ++f) {
    const Frame& frame = *old.frame[f];
    for (u32 i = 0; i < frame.slot_count; ++i) {
      if (frame.slots[i].bytes[0] != SlotByte::iter) continue;
      const u32 was = frame.slots[i].spilled.iter;
      if (iter_state_of(was) != IterState::active || i >= cur.frame[f]->slot_count) continue;
      if (iter_depth_of(was) != iter_depth_of(cur.frame[f]->slots[i].spilled.iter)) return true;
    }
  }
  return false;
}

/// The iterator that a call of next() here would advance has not ended.
bool Walk::iter_is_active(const State& state) {
  const RegState& reg = state.cur().regs[1];
  const Frame& frame = *state.frame[reg.frameno];
  const s64 slot = (-(s64{reg.off} + static_cast<s64>(reg.num.var_off.value)) - 1) / 8;
  return reg.type == Base::stack && slot >= 0 && slot < s64{frame.slot_count} &&
         iter_state_of(frame.slots[static_cast<u32>(slot)].spilled.iter) == IterState::active;
}

}  // namespace skep::verifier
