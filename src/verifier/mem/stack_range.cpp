// A range of stack that is read with a variable offset, or that a helper reads or fills (kernel:
// check_stack_range_initialized()).
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Nothing but a spilled register, zeros and bytes that were written or not: whatever part of it is read.
bool all_readable(const StackSlot& slot) {
  if (slot.is_spilled()) return true;
  static_assert(static_cast<u32>(SlotByte::spill) == 1 && static_cast<u32>(SlotByte::zero) == 3 &&
                static_cast<u32>(SlotByte::irq_flag) < 8);
  constexpr u64 each = 0x0101010101010101;
  const u64 bytes = std::bit_cast<u64>(slot.bytes);
  return ((bytes & ~(bytes >> 1)) & each) == 0 && (bytes & (each * 4)) == 0;
}

}  // namespace

Status Walk::check_stack_range(u32 regno, s32 off, s32 size, bool zero_size_allowed, Access access,
                               CallMeta* meta) {
  if (size == 0 && !zero_size_allowed) return e.reject(EACCES, "invalid zero-sized read\n");
  CHECK(check_stack_bounds(regno, off, size, access));
  const RegState& reg = regs()[regno];
  Frame& frame = frame_of(reg);
  const Stack& stack = frame.slots;
  const bool clobber = access == Access::write;
  s32 min_off, max_off;
  if (reg.num.is_const()) {
    min_off = max_off = static_cast<s32>(reg.num.var_off.value) + off;
  } else {
    meta = meta != nullptr && meta->raw_mode ? nullptr : meta;
    min_off = static_cast<s32>(reg.num.smin) + off;
    max_off = static_cast<s32>(reg.num.smax) + off;
  }
  if (meta != nullptr && meta->raw_mode)
    for (s32 i = min_off; i < max_off + size; ++i) {
      const u32 byte_idx = static_cast<u32>(-i - 1);
      if (byte_idx / 8 < frame.slot_count && stack[byte_idx / 8].bytes[byte_idx % 8] == SlotByte::dynptr)
        return e.reject(EACCES, "potential write to dynptr at off={} disallowed\n", i);
    }
  if (meta != nullptr && meta->raw_mode) {  // filled after the arguments are checked, byte by byte
    meta->access_size = size;
    meta->regno = regno;
    return passed;
  }
  u64 read = 0;
  for (s32 i = min_off; i < max_off + size; ++i) {
    const u32 byte_idx = static_cast<u32>(-i - 1);
    const u32 spi = byte_idx / 8;
    if (!clobber && all_readable(stack[spi])) {  // the rest of the slot at once
      read |= u64{1} << spi;
      i = -8 * static_cast<s32>(spi) - 1;
      continue;
    }
    SlotByte byte = stack[spi].bytes[byte_idx % 8];
    if (byte == SlotByte::zero || byte == SlotByte::invalid) {
      if (clobber) byte = frame.slots[spi].bytes[byte_idx % 8] = SlotByte::misc;
    } else if (byte != SlotByte::misc && stack[spi].is_spilled()) {
      if (clobber) {
        StackSlot& slot = frame.slots[spi];
        mark_unknown(slot.spilled);
        for (SlotByte& b : slot.bytes)
          if (b != SlotByte::invalid) b = SlotByte::misc;
        byte = slot.bytes[byte_idx % 8];
      }
    } else if (byte != SlotByte::misc) {  // a dynptr, an iterator: nobody else's to read
      if (reg.num.is_const())
        return e.reject(EACCES, "invalid read from stack R{} off {}+{} size {}\n", regno, min_off,
                        i - min_off, size);
      return e.reject(EACCES, "invalid read from stack R{} var_off {}+{} size {}\n", regno,
                      tnum_text(reg.num.var_off), i - min_off, size);
    }
    if (byte > SlotByte::zero) {
      if (reg.num.is_const())
        return e.reject(EACCES, "invalid read from stack R{} off {}+{} size {}\n", regno, min_off,
                        i - min_off, size);
      return e.reject(EACCES, "invalid read from stack R{} var_off {}+{} size {}\n", regno,
                      tnum_text(reg.num.var_off), i - min_off, size);
    }
    read |= u64{1} << spi;
  }
  if (read != 0) live.mark_read(*e.cur, frame.frameno, e.insn_idx, read);
  return passed;
}

}  // namespace skep::verifier
