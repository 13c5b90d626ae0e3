// Registers, frames and states as the log shows them (kernel: print_verifier_state() and below).
#pragma once
#include <string>

#include "verifier/log/log.hpp"
#include "verifier/state/dynptr.hpp"
#include "verifier/state/state.hpp"

namespace skep::verifier {

/// "ctx", "map_value_or_null", "rdonly_mem", "fp", "scalar", ... (kernel: reg_type_str()).
[[nodiscard]] std::string type_text(RegType type);
/// One register, as it stands in frame `frameno`: "scalar(id=1,umax=9)", "fp-8", and if `precise`, "P5".
[[nodiscard]] std::string reg_text(const RegState& reg, u32 frameno, bool precise = false);

/// What was read or written since the last state was printed.
struct Scratched {
  u32 regs = 0;
  u64 slots = 0;
  void all() {
    regs = ~u32{0};
    slots = ~u64{0};
  }
  void none() {
    regs = 0;
    slots = 0;
  }
  [[nodiscard]] bool any() const { return regs != 0 || slots != 0; }
};

/// " frame1: R0=... fp-8=... refs=1 cb\n": the registers and slots of `frame` that are in `scratched`, or all
/// of them if it is nullptr. Each one is a write of its own, as the kernel cuts single writes at 1023 bytes.
void print_frame(Log& log, const State& state, const Frame& frame, const Scratched* scratched);

/// "r1,r2" of a register mask; "-8,-16" of a slot mask (kernel: fmt_reg_mask(), fmt_stack_mask()).
[[nodiscard]] std::string reg_mask_text(u32 mask);
[[nodiscard]] std::string slot_mask_text(u64 mask);

}  // namespace skep::verifier
