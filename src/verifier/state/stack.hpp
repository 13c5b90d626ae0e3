// The stack of one frame: slots in blocks that states share until one of them writes (kernel: the stack of
// struct bpf_func_state, which is copied whole). Slot i holds the bytes [fp-8*(i+1), fp-8*i).
#pragma once
#include "verifier/state/reg.hpp"

namespace skep::verifier {

class StatePool;
class Frames;

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

/// Slots of one block. Several stacks may refer to it; then none of them changes it.
struct SlotBlock {
  static constexpr u32 slot_count = 4;
  u32 refs = 1;
  StackSlot slots[slot_count];
};

/// Reading a slot never copies. Writing one (any access that is not const) first makes its block this
/// stack's own: a reference to a slot must not be kept across a copy of the state. What was never written,
/// or is dead and dropped, reads as an empty slot.
class Stack {
 public:
  Stack() = default;
  Stack& operator=(const Stack&) = delete;

  [[nodiscard]] const StackSlot& operator[](u32 i) const {
    return has(i) ? blocks_[i / SlotBlock::slot_count]->slots[i % SlotBlock::slot_count] : empty_slot;
  }
  [[nodiscard]] StackSlot& operator[](u32 i) {
    SlotBlock*& block = blocks_[i / SlotBlock::slot_count];
    if (block == nullptr || block->refs != 1) [[unlikely]]
      make_own(i / SlotBlock::slot_count);
    StackSlot& slot = block->slots[i % SlotBlock::slot_count];
    if (!has(i)) {
      slot = StackSlot{};
      present_ |= u64{1} << i;
    }
    return slot;
  }
  /// Slots of which something is known, as bits.
  [[nodiscard]] u64 present() const { return present_; }

 private:
  friend class StatePool;
  friend struct Frame;
  friend class Frames;
  Stack(const Stack&) = default;  // shares the blocks: the pool counts that
  static const StackSlot empty_slot;
  static constexpr u32 block_count = max_slots / SlotBlock::slot_count;

  [[nodiscard]] bool has(u32 i) const { return (present_ >> i & 1) != 0; }
  void make_own(u32 block);

  StatePool* pool_ = nullptr;
  u64 present_ = 0;
  SlotBlock* blocks_[block_count] = {};
};

}  // namespace skep::verifier
