// One call frame: registers and stack (kernel: struct bpf_func_state).
#pragma once
#include "verifier/state/stack.hpp"

namespace skep::verifier {

struct ReturnRange {
  s32 min = 0;
  s32 max = 0;
  bool operator==(const ReturnRange&) const = default;
};

struct Frame {
  Frame() = default;
  Frame& operator=(const Frame&) = delete;

  RegState regs[reg_count];
  Stack slots;
  /// Registers, and slots' registers, whose number matters for safety, as bits. Only checkpoints have marks:
  /// they begin with none, and what is asked for precisely is marked in the states that it came through.
  u64 precise_slots = 0;
  u16 precise_regs = 0;
  u16 slot_count = 0;  ///< allocated slots (kernel: allocated_stack / 8)
  s32 callsite = -1;   ///< the calling instruction; -1 for the first frame
  u32 frameno = 0;
  u32 subprogno = 0;
  u32 callback_depth = 0;
  ReturnRange callback_range{};
  u32 async_entry_count = 0;  ///< how many asynchronous callbacks led here
  bool in_callback = false;
  bool in_async_callback = false;
  u32 refs = 1;  ///< states that refer to it; with more than one none of them changes it

 private:
  friend class StatePool;
  Frame(const Frame&) = default;
};

}  // namespace skep::verifier
