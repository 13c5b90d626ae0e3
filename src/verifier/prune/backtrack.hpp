// The registers and stack slots, by frame, whose exact value is still asked for while precision is followed
// back along a path (kernel: struct backtrack_state).
#pragma once
#include <span>
#include <vector>

#include "base/limits.hpp"
#include "base/types.hpp"
#include "isa/insn.hpp"

namespace skep::verifier {

/// For each instruction the registers whose being asked for concerns it where no history entry stands at it:
/// all others it passes unchanged. always_concerned: calls, exits and what else changes frames.
inline constexpr u32 always_concerned = 1u << 31;
[[nodiscard]] std::vector<u32> concerned_regs(std::span<const isa::Insn> insns);

struct Backtrack {
  u32 frame = 0;
  u32 regs[limits::max_call_frames] = {};
  u64 slots[limits::max_call_frames] = {};

  void reset() { *this = Backtrack{}; }
  [[nodiscard]] bool empty() const {
    if ((regs[frame] | slots[frame]) != 0) return false;
    for (u32 i = 0; i < frame; ++i)
      if ((regs[i] | slots[i]) != 0) return false;
    return true;
  }
  void set_reg(u32 f, u32 reg) { regs[f] |= 1u << reg; }
  void clear_reg(u32 f, u32 reg) { regs[f] &= ~(1u << reg); }
  [[nodiscard]] bool has_reg(u32 f, u32 reg) const { return (regs[f] >> reg & 1) != 0; }
  void set_slot(u32 f, u32 slot) { slots[f] |= u64{1} << slot; }
  void clear_slot(u32 f, u32 slot) { slots[f] &= ~(u64{1} << slot); }
  [[nodiscard]] bool has_slot(u32 f, u32 slot) const { return (slots[f] >> slot & 1) != 0; }
  /// Of the current frame: what `asked` has is taken off, the rest is added to it. The registers are its low
  /// bits; as many slots as there is room for stand above them, the others are never taken off.
  void take_off_asked(u32& asked) {
    constexpr u32 reg_bits = 11;
    constexpr u64 slot_bits = (u64{1} << (32 - reg_bits)) - 1;
    const u32 now = regs[frame] | static_cast<u32>((slots[frame] & slot_bits) << reg_bits);
    const u32 fresh = now & ~asked;
    asked |= now;
    regs[frame] = fresh & ((1u << reg_bits) - 1);
    slots[frame] = (slots[frame] & ~slot_bits) | fresh >> reg_bits;
  }
  // of the current frame
  void set_reg(u32 reg) { set_reg(frame, reg); }
  void clear_reg(u32 reg) { clear_reg(frame, reg); }
  [[nodiscard]] bool has_reg(u32 reg) const { return has_reg(frame, reg); }
};

}  // namespace skep::verifier
