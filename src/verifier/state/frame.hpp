// One call frame: registers and stack (kernel: struct bpf_func_state, struct bpf_stack_state).
// Slot i holds the bytes [fp-8*(i+1), fp-8*i).
#pragma once
#include "verifier/state/reg.hpp"

namespace skep::verifier {

enum class SlotByte : u8 { invalid, spill, misc, zero, dynptr, iter, irq_flag };

/// Eight bytes of stack. `bytes[k]` describes the byte at fp - 8*i - 1 - k for slot i: bytes[7] is the
/// lowest address, where a register spilled by a store of any width starts.
struct StackSlot {
  RegState spilled{};
  SlotByte bytes[8] = {};

  /// A register lies here, whole or its low part.
  [[nodiscard]] bool is_spilled() const { return bytes[7] == SlotByte::spill; }
  [[nodiscard]] bool is_spilled_whole() const { return bytes[0] == SlotByte::spill; }
  [[nodiscard]] bool is_spilled_scalar() const { return is_spilled() && spilled.type.base == Base::scalar; }
  [[nodiscard]] bool is_spilled_scalar_whole() const {
    return is_spilled_whole() && spilled.type.base == Base::scalar;
  }
};

inline constexpr u32 max_slots = 64;  ///< 512 bytes

struct ReturnRange {
  s32 min = 0;
  s32 max = 0;
  bool operator==(const ReturnRange&) const = default;
};

struct Frame {
  RegState regs[reg_count];
  s32 callsite = -1;  ///< the calling instruction; -1 for the first frame
  u32 frameno = 0;
  u32 subprogno = 0;
  u32 callback_depth = 0;
  ReturnRange callback_range{};
  u32 async_entry_count = 0;  ///< how many asynchronous callbacks led here
  bool in_callback = false;
  bool in_async_callback = false;
  u16 slot_count = 0;  ///< allocated slots (kernel: allocated_stack / 8)
  u16 slot_capacity = 0;
  StackSlot* slots = nullptr;  ///< owned by the StatePool
};

}  // namespace skep::verifier
