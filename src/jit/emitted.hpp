// What emission leaves: where things are in the bytes. The same for every machine.
#pragma once
#include <vector>

#include "jit/compile.hpp"

namespace skep::jit {

/// A load that may fault, in bytes from the start of the code: then the register becomes 0, and what follows
/// the load goes on (kernel: struct exception_table_entry).
struct Probe {
  u32 load = 0, next = 0;
  u8 reg = 0;  ///< as the machine numbers it
};

/// A tail call whose slot is known. Four bytes at `jump` are the distance of a jump that goes to
/// `through_slot`, which reads the slot, unless it is directed elsewhere: to the body of a program with the
/// same frame, or to `leave`, whose jump at `enter` then goes to a program's tail entry. Both begin at a
/// multiple of four.
struct TailSite {
  u64 map = 0;
  u32 index = 0;
  u32 jump = 0, through_slot = 0, leave = 0, enter = 0;
};

struct Emitted {
  std::vector<u32> insn_offsets;
  std::vector<SubprogCode> subprogs;
  std::vector<u32> callback_offsets;  ///< parallel to subprogs; 0: not a callback
  std::vector<Probe> probes;          ///< ascending
  std::vector<TailSite> tail_sites;
  u32 entry = 0, tail_entry = 0, burst = 0;
  /// Behind the main program's prologue, the run context in its register and the context in R1.
  u32 body = 0;
  u32 frame = 0;  ///< what that prologue leaves on the stack, as a number; 0: nothing to be compared with
};

}  // namespace skep::jit
