// Dynptrs on the stack: made, read, released, overwritten (kernel: process_dynptr_func(),
// mark_stack_slots_dynptr(), unmark_stack_slots_dynptr(), destroy_if_dynptr_stack_slot()).
#include "verifier/state/dynptr.hpp"

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

DynptrKind wanted_kind(const helpers::ArgSpec& spec) {
  if ((spec.flags & helpers::dynptr_local) != 0) return DynptrKind::local;
  if ((spec.flags & helpers::dynptr_ringbuf) != 0) return DynptrKind::ringbuf;
  return DynptrKind::invalid;  // any
}

}  // namespace

/// The first slot of the dynptr that the stack pointer points to; `spi` is not set where its stack was never
/// touched (kernel: dynptr_get_spi()).
Walk::DynptrPlace Walk::dynptr_place(const RegState& reg, u32& spi) {
  if (!reg.num.is_const()) {
    (void)e.reject(EINVAL, "dynptr has to be at a constant offset\n");
    return DynptrPlace::bad;
  }
  const s32 off = reg.off + static_cast<s32>(reg.num.var_off.value);
  if (off % 8 != 0 || off > -static_cast<s32>(8 * dynptr_slots)) {
    (void)e.reject(EINVAL, "cannot pass in dynptr at an offset={}\n", off);
    return DynptrPlace::bad;
  }
  spi = static_cast<u32>(-off - 1) / 8;
  return spi < stack_of(reg).slot_count ? DynptrPlace::ok : DynptrPlace::unallocated;
}

/// The dynptr behind an argument: its first slot or the constant register; nullptr if there is none.
const RegState* Walk::dynptr_behind(const RegState& reg) {
  if (reg.type.base == Base::dynptr) return &reg;
  u32 spi = 0;
  if (reg.type != Base::stack || dynptr_place(reg, spi) != DynptrPlace::ok) return nullptr;
  const Frame& frame = stack_of(reg);
  const RegState& first = frame.slots[spi].spilled;
  if (frame.slots[spi].bytes[0] != SlotByte::dynptr || frame.slots[spi - 1].bytes[0] != SlotByte::dynptr)
    return nullptr;
  return is_first_slot(first) ? &first : nullptr;
}

Status Walk::check_dynptr_arg(u32 regno, const helpers::ArgSpec& spec) {
  const bool make = (spec.flags & helpers::uninit) != 0;
  return make ? make_dynptr(regno, wanted_kind(spec), 0)
              : use_dynptr(regno, (spec.flags & helpers::rdonly) != 0, wanted_kind(spec));
}

/// An initialised dynptr is used. `constant`: the callee does not change it. `wanted`: invalid for any kind.
Status Walk::use_dynptr(u32 regno, bool constant, DynptrKind wanted) {
  RegState& reg = regs()[regno];
  if (reg.type != Base::stack && reg.type != Base::dynptr)
    return e.reject(EINVAL, "arg#{} expected pointer to stack or const struct bpf_dynptr\n", regno - 1);
  if (reg.type == Base::dynptr && !constant)
    return e.reject(EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it\n");
  const RegState* found = dynptr_behind(reg);
  if (found == nullptr) return e.reject(EINVAL, "Expected an initialized dynptr as arg #{}\n", regno - 1);
  if (wanted != DynptrKind::invalid && dynptr_kind(*found) != wanted)
    return e.reject(EINVAL, "Expected a dynptr of type {} as arg #{}\n", dynptr_kind_name(wanted), regno - 1);
  if (reg.type == Base::dynptr) return passed;
  u32 spi = 0;
  if (dynptr_place(reg, spi) != DynptrPlace::ok) return Status(EINVAL);
  live.mark_read(*e.cur, reg.frameno, e.insn_idx, u64{3} << (spi - 1));
  scratch_slot(spi);
  scratch_slot(spi - 1);
  return passed;
}

/// The stack becomes a dynptr; `ref_obj_id`: of the one it is a copy of, else 0.
Status Walk::make_dynptr(u32 regno, DynptrKind kind, u32 ref_obj_id) {
  const RegState& reg = regs()[regno];
  if (reg.type != Base::stack && reg.type != Base::dynptr)
    return e.reject(EINVAL, "arg#{} expected pointer to stack or const struct bpf_dynptr\n", regno - 1);
  u32 spi = 0;
  if (reg.type == Base::dynptr || dynptr_place(reg, spi) == DynptrPlace::bad)
    return e.reject(EINVAL, "Dynptr has to be an uninitialized dynptr\n");
  for (s32 i = 0; i < static_cast<s32>(8 * dynptr_slots); i += 8)
    CHECK(check_mem_access(regno, i, 8, Access::write, -1, false, false));
  Frame& frame = frame_of(reg);
  CHECK(destroy_dynptr_at(frame, spi));
  CHECK(destroy_dynptr_at(frame, spi - 1));
  const u32 id = ++e.id_gen;
  for (u32 i = 0; i < dynptr_slots; ++i) {
    StackSlot& slot = frame.slots[spi - i];
    for (SlotByte& byte : slot.bytes) byte = SlotByte::dynptr;
    set_dynptr(slot.spilled, kind, i == 0, id);
  }
  if (!is_refcounted(kind)) return passed;
  const u32 reference = ref_obj_id != 0 ? ref_obj_id : acquire_reference(e.insn_idx);
  for (u32 i = 0; i < dynptr_slots; ++i) frame.slots[spi - i].spilled.ref_obj_id = reference;
  return passed;
}

/// A dynptr as argument of a kernel function: one to be made, or one to be used.
Status Walk::check_kfunc_dynptr(kfunc::Call& call, u32 regno) {
  using kfunc::Special;
  const btf::Entry& parameter = call.btf->entries(*call.proto)[regno - 1];
  if (!call.btf->string(parameter.name_off).ends_with("__uninit")) {
    const bool constant = regs()[regno].type == Base::dynptr;
    CHECK(use_dynptr(regno, constant, DynptrKind::invalid));
    const RegState& dynptr = *dynptr_behind(regs()[regno]);
    call.dynptr_id = dynptr.id;
    call.dynptr_type = static_cast<u32>(dynptr_kind(dynptr));
    call.dynptr_ref_obj_id = dynptr.ref_obj_id;
    return passed;
  }
  switch (call.special) {
    case Special::dynptr_from_skb:
      return make_dynptr(regno, DynptrKind::skb, 0);
    case Special::dynptr_from_xdp:
      return make_dynptr(regno, DynptrKind::xdp, 0);
    case Special::dynptr_from_skb_meta:
      return make_dynptr(regno, DynptrKind::skb_meta, 0);
    case Special::dynptr_clone:
      return make_dynptr(regno, static_cast<DynptrKind>(call.dynptr_type), call.dynptr_ref_obj_id);
    default:
      return unsupported(fmt::format("dynptrs made by kernel function {}", call.name));
  }
}

/// bpf_dynptr_slice(): memory that holds until the packet may have moved.
Status Walk::set_slice_result(const kfunc::Call& call) {
  RegState& r0 = regs()[0];
  const auto kind = static_cast<DynptrKind>(call.dynptr_type);
  u16 flags = kind == DynptrKind::skb || kind == DynptrKind::xdp || kind == DynptrKind::skb_meta
                  ? tf::packet_slice
                  : tf::none;
  if (call.special == kfunc::Special::dynptr_slice) {
    flags |= tf::rdonly;
  } else if (!may_access_packet(nullptr, Access::write)) {
    return e.reject(EINVAL, "the prog does not allow writes to packet data\n");
  }
  mark_known_zero_pointer(r0, {Base::mem, flags});
  r0.raw = 0;
  r0.mem_size = static_cast<u32>(call.constant);
  r0.map_uid = call.dynptr_id;
  return passed;
}

/// Data is written over a dynptr: it is none any longer, nor are its slices memory.
Status Walk::destroy_dynptr_at(Frame& frame, u32 spi) {
  const Stack& stack = frame.slots;
  if (spi >= frame.slot_count || stack[spi].bytes[0] != SlotByte::dynptr) return passed;
  if (!is_first_slot(stack[spi].spilled)) ++spi;
  const RegState was = stack[spi].spilled;
  if (is_refcounted(dynptr_kind(was))) return e.reject(EINVAL, "cannot overwrite referenced dynptr\n");
  scratch_slot(spi);
  scratch_slot(spi - 1);
  clear_dynptr_slots(frame, spi);
  const auto which = [&](const RegState& slice) {
    return slice.type.base == Base::mem && (slice.type.flags & ~tf::maybe_null) == 0 &&
           slice.map_uid == was.id;
  };
  for_each_reg(*e.cur, which, [&](RegState& slice) { mark_invalid(slice); });
  return passed;
}

void Walk::clear_dynptr_slots(Frame& frame, u32 spi) { e.pool.drop_slots(frame, u64{3} << (spi - 1)); }

/// The release of the dynptr at the stack pointer: of every copy of it, too.
Status Walk::release_dynptr(const RegState& reg) {
  u32 spi = 0;
  if (dynptr_place(reg, spi) != DynptrPlace::ok) return Status(EINVAL);
  Frame& frame = frame_of(reg);
  const Stack& stack = frame.slots;
  const RegState first = stack[spi].spilled;
  live.mark_write(frame.frameno, u64{3} << (spi - 1));
  if (!is_refcounted(dynptr_kind(first))) {
    clear_dynptr_slots(frame, spi);
    return passed;
  }
  CHECK(release_reference(first.ref_obj_id));
  for (u32 i = 1; i < frame.slot_count; ++i) {
    const StackSlot& slot = stack[i];
    if (slot.bytes[0] == SlotByte::dynptr && slot.spilled.ref_obj_id == first.ref_obj_id &&
        is_first_slot(slot.spilled))
      clear_dynptr_slots(frame, i);
  }
  return passed;
}

}  // namespace skep::verifier
