// Loads and stores on a stack: spills and fills of registers, known zeros, everything else (kernel:
// check_stack_write_*(), check_stack_read_*()).
#include <algorithm>
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

bool spillable(Base base) {
  switch (base) {
    case Base::not_init:
    case Base::scalar:
    case Base::tp_buffer:
    case Base::dynptr:
      return false;
    default:
      return true;
  }
}

bool is_null(const RegState& reg) { return reg.is_const() && reg.num.var_off.value == 0; }
bool stores_imm(const Insn& insn) { return class_of(insn.code) == op::ST && mode_of(insn.code) == op::MEM; }

void mark_misc(SlotByte& byte) {
  if (byte == SlotByte::zero) return;
  if (byte == SlotByte::invalid) return;  // privileged: what was never written stays so
  byte = SlotByte::misc;
}

u32 history_of(const Frame& frame, u32 spi) {
  return hist::stack_access | spi << hist::spi_shift | frame.frameno;
}

}  // namespace

/// Inside the 512 bytes; makes the frame's slots reach that far.
Status Walk::check_stack_bounds(u32 regno, s32 off, s32 size, Access access) {
  const RegState& reg = regs()[regno];
  const std::string_view how = access == Access::read ? " read from" : " write to";
  s64 min_off, max_off;
  if (reg.num.is_const()) {
    min_off = static_cast<s64>(reg.num.var_off.value) + off;
    max_off = min_off + size;
  } else {
    if (reg.num.smax >= limits::max_var_offset || reg.num.smin <= -limits::max_var_offset)
      return e.reject(EACCES, "invalid unbounded variable-offset{} stack R{}\n", how, regno);
    min_off = reg.num.smin + off;
    max_off = reg.num.smax + off + size;
  }
  int code = min_off < -s64{limits::stack_bytes} || min_off > -1 ? EACCES : 0;
  if (code == 0 && max_off > 0) code = EINVAL;
  if (code == 0 && size < 0) code = EFAULT;
  if (code != 0) {
    if (reg.num.is_const())
      return e.reject(code, "invalid{} stack R{} off={} size={}\n", how, regno, off, size);
    return e.reject(code, "invalid variable-offset{} stack R{} var_off={} off={} size={}\n", how, regno,
                    tnum_text(reg.num.var_off), off, size);
  }
  Frame& frame = frame_of(reg);
  e.pool.grow_stack(frame, static_cast<u32>((-min_off + 7) / 8));
  u32& depth = e.subprog_aux[frame.subprogno].stack_depth;
  depth = std::max(depth, static_cast<u32>(-min_off + 7) / 8 * 8);
  return passed;
}

Status Walk::check_stack_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno) {
  CHECK(check_stack_bounds(regno, off, static_cast<s32>(size), access));
  const RegState& reg = regs()[regno];
  Frame& frame = frame_of(reg);
  const bool fixed = reg.num.is_const();
  const s32 at = fixed ? off + static_cast<s32>(reg.num.var_off.value) : off;
  if (access == Access::write)
    return fixed ? stack_write_fixed(frame, at, size, value_regno)
                 : stack_write_variable(frame, regno, at, size, value_regno);
  if (fixed) return stack_read_fixed(frame, at, size, value_regno);
  if (value_regno < 0)
    return e.reject(
        EACCES,
        "variable offset stack pointer cannot be passed into helper function; var_off={} off={} size={}\n",
        tnum_text(reg.num.var_off), off, size);
  const s64 smin = reg.num.smin, smax = reg.num.smax;
  CHECK(check_stack_range(regno, off, static_cast<s32>(size), false, Access::read, nullptr));
  set_from_stack_bytes(frame, static_cast<s32>(smin + off), static_cast<s32>(smax + off + size),
                       static_cast<u32>(value_regno));
  check_fastcall_contract(frame, static_cast<s32>(smin + off));
  return passed;
}

/// Something outside the pattern uses the slots of fastcall spills: they must stay.
void Walk::check_fastcall_contract(const Frame& frame, s32 off) {
  SubprogAux& sub = e.subprog_aux[frame.subprogno];
  if (sub.fastcall_stack_off <= off || e.program.notes[e.insn_idx].fastcall_pattern) return;
  sub.fastcall_stack_off = INT16_MIN;
  const auto& subprogs = e.program.subprogs;
  for (u32 i = subprogs[frame.subprogno].start; i < subprogs[frame.subprogno + 1].start; ++i) {
    e.program.notes[i].fastcall_spills = 0;
    e.program.notes[i].fastcall_pattern = false;
  }
}

void Walk::save_register(Frame& frame, u32 spi, const RegState& reg, u32 size) {
  StackSlot& slot = frame.slots[spi];
  slot.spilled = reg;
  u32 i = 8;
  for (; i > 8 - size; --i) slot.bytes[i - 1] = SlotByte::spill;
  for (; i > 0; --i) mark_misc(slot.bytes[i - 1]);
}

/// Data over a slot: what was spilled there is gone, its other bytes are just bytes.
void Walk::scrub_slot(StackSlot& slot) {
  slot.spilled.type = Base::not_init;
  const SlotByte kind = slot.bytes[7];
  if (kind != SlotByte::spill && kind != SlotByte::dynptr && kind != SlotByte::iter &&
      kind != SlotByte::irq_flag)
    return;
  for (SlotByte& byte : slot.bytes)
    if (byte != SlotByte::invalid) byte = SlotByte::misc;
}

Status Walk::stack_write_fixed(Frame& frame, s32 off, u32 size, s32 value_regno) {
  const u32 first = static_cast<u32>(-off - 1);  // byte index of the lowest address
  const u32 spi = first / 8;
  const Insn& insn = insns[e.insn_idx];
  RegState* value = value_regno >= 0 ? &regs()[value_regno] : nullptr;
  CHECK(destroy_dynptr_at(frame, spi));
  StackSlot& slot = frame.slots[spi];
  check_fastcall_contract(frame, off);
  scratch_slot(spi);
  if (size == 8) live.mark_write(frame.frameno, u64{1} << spi);
  const bool aligned = off % 8 == 0;
  if (value != nullptr && aligned && value->is_scalar()) {
    const bool fits = static_cast<u32>(std::bit_width(value->num.umax)) <= 8 * size;
    if (fits) assign_scalar_id(*value);
    save_register(frame, spi, *value, size);
    if (!fits) slot.spilled.id = 0;
  } else if (value == nullptr && aligned && stores_imm(insn)) {
    RegState constant;
    mark_known(constant, static_cast<u64>(s64{insn.imm}));
    save_register(frame, spi, constant, size);
  } else if (value != nullptr && spillable(value->type.base)) {
    if (size != 8) {
      print_source_line(e.insn_idx);
      return e.reject(EACCES, "invalid size of register spill\n");
    }
    if (&frame != &e.cur->cur() && value->type == Base::stack)
      return e.reject(EINVAL, "cannot spill pointers to stack into stack frame of the caller\n");
    save_register(frame, spi, *value, size);
  } else {
    SlotByte kind = SlotByte::misc;
    scrub_slot(slot);
    if (value != nullptr ? is_null(*value) : stores_imm(insn) && insn.imm == 0) {
      if (value_regno >= 0) CHECK(mark_precise(static_cast<u32>(value_regno)));
      kind = SlotByte::zero;
    }
    for (u32 i = 0; i < size; ++i) slot.bytes[(first - i) % 8] = kind;
    return passed;
  }
  return push_history(*e.cur, history_of(frame, spi), 0);
}

/// A helper fills memory at a constant place, which check_stack_range() has found to be good: what the kernel
/// does with a store of each byte, slot by slot.
Status Walk::fill_stack(u32 regno, s32 size) {
  const RegState& reg = regs()[regno];
  Frame& frame = frame_of(reg);
  s32 off = reg.off + static_cast<s32>(reg.num.var_off.value);
  const s32 end = off + size;
  check_fastcall_contract(frame, off);  // the lowest byte says it for all
  while (off < end) {
    const u32 spi = static_cast<u32>(-off - 1) / 8;
    CHECK(destroy_dynptr_at(frame, spi));
    scratch_slot(spi);
    StackSlot& slot = frame.slots[spi];
    scrub_slot(slot);
    for (; off < end && static_cast<u32>(-off - 1) / 8 == spi; ++off)
      slot.bytes[static_cast<u32>(-off - 1) % 8] = SlotByte::misc;
  }
  return passed;
}

/// Any byte from smin to smax may be written, none must be.
Status Walk::stack_write_variable(Frame& frame, u32 regno, s32 off, u32 size, s32 value_regno) {
  const RegState& ptr = regs()[regno];
  const s32 min_off = static_cast<s32>(ptr.num.smin) + off;
  const s32 max_off = static_cast<s32>(ptr.num.smax) + off + static_cast<s32>(size);
  const Insn& insn = insns[e.insn_idx];
  const bool zero = value_regno >= 0 ? is_null(regs()[value_regno]) : stores_imm(insn) && insn.imm == 0;
  bool zero_used = false;
  for (s32 i = min_off; i < max_off; ++i) CHECK(destroy_dynptr_at(frame, static_cast<u32>(-i - 1) / 8));
  check_fastcall_contract(frame, min_off);
  for (s32 i = min_off; i < max_off; ++i) {
    const u32 byte_idx = static_cast<u32>(-i - 1);
    const u32 spi = byte_idx / 8;
    StackSlot& slot = frame.slots[spi];
    SlotByte& byte = slot.bytes[byte_idx % 8];
    scratch_slot(spi);
    if (zero && byte == SlotByte::spill && slot.is_spilled_scalar() && is_null(slot.spilled)) {
      zero_used = true;
      continue;
    }
    scrub_slot(slot);
    if (zero && byte == SlotByte::zero) {
      zero_used = true;
    } else {
      byte = SlotByte::misc;
    }
  }
  if (zero_used && value_regno >= 0) CHECK(mark_precise(static_cast<u32>(value_regno)));
  return passed;
}

/// The register gets what lies in [min_off, max_off): 0 if all of it is zero.
void Walk::set_from_stack_bytes(const Frame& frame, s32 min_off, s32 max_off, u32 dst_regno) {
  s32 zeros = 0;
  for (s32 i = min_off; i < max_off; ++i) {
    const u32 byte_idx = static_cast<u32>(-i - 1);
    scratch_slot(byte_idx / 8);
    if (frame.slots[byte_idx / 8].bytes[byte_idx % 8] != SlotByte::zero) break;
    ++zeros;
  }
  if (zeros == max_off - min_off) {
    set_const_zero(regs()[dst_regno]);
  } else {
    mark_unknown(regs()[dst_regno]);
  }
}

/// Zero read from bytes known to be zero: imprecise, as the register it came from was made precise.
void Walk::set_const_zero(RegState& reg) { mark_known(reg, 0); }

Status Walk::stack_read_fixed(Frame& frame, s32 off, u32 size, s32 dst_regno) {
  const u32 first = static_cast<u32>(-off - 1);
  const u32 spi = first / 8;
  const StackSlot& slot = std::as_const(frame).slots[spi];
  u32 flags = history_of(frame, spi);
  scratch_slot(spi);
  check_fastcall_contract(e.cur->cur(), off);
  live.mark_read(*e.cur, frame.frameno, e.insn_idx, u64{1} << spi);
  if (slot.is_spilled()) {
    u32 spill_size = 1;
    for (u32 i = 7; i > 0 && slot.bytes[i - 1] == SlotByte::spill; --i) ++spill_size;
    if (size != 8 || spill_size != 8) {
      if (!slot.spilled.is_scalar()) {
        print_source_line(e.insn_idx);
        return e.reject(EACCES, "invalid size of register fill\n");
      }
      if (dst_regno < 0) return passed;
      CHECK(stack_read_narrow(frame, slot, off, size, spill_size, dst_regno, flags));
    } else if (dst_regno >= 0) {
      regs()[dst_regno] = slot.spilled;
    }
  } else {
    for (u32 i = 0; i < size; ++i)
      if (slot.bytes[(first - i) % 8] > SlotByte::zero)
        return e.reject(EACCES, "invalid read from stack off {}+{} size {}\n", off, i, size);
    if (dst_regno >= 0)
      set_from_stack_bytes(frame, off, off + static_cast<s32>(size), static_cast<u32>(dst_regno));
    return passed;
  }
  return flags != 0 ? push_history(*e.cur, flags, 0) : passed;
}

/// A fill of less than was spilled, or of more.
Status Walk::stack_read_narrow(Frame&, const StackSlot& slot, s32 off, u32 size, u32 spill_size,
                               s32 dst_regno, u32& history_flags) {
  RegState& dst = regs()[dst_regno];
  const u32 first = static_cast<u32>(-off - 1);
  if (size <= spill_size && off % 8 == 0) {  // the low part
    dst = slot.spilled;
    if (static_cast<u32>(std::bit_width(slot.spilled.num.umax)) > size * 8) {
      dst.id = 0;
      dst.off = 0;
    }
    return passed;
  }
  u32 spills = 0, zeros = 0;
  for (u32 i = 0; i < size; ++i) {
    const SlotByte byte = slot.bytes[(first - i) % 8];
    if (byte == SlotByte::spill) ++spills;
    if (byte == SlotByte::zero) ++zeros;
  }
  if (spills == size && is_null(slot.spilled)) {
    set_const_zero(dst);
  } else if (zeros == size) {
    set_const_zero(dst);
    history_flags = 0;
  } else {
    mark_unknown(dst);
    history_flags = 0;
  }
  return passed;
}

}  // namespace skep::verifier
