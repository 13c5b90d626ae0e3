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

struct Emitted {
  std::vector<u32> insn_offsets;
  std::vector<SubprogCode> subprogs;
  std::vector<u32> callback_offsets;  ///< parallel to subprogs; 0: not a callback
  std::vector<Probe> probes;          ///< ascending
  u32 entry = 0, tail_entry = 0, burst = 0;
};

}  // namespace skep::jit
