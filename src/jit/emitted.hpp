// What emission leaves: where things are in the bytes. The same for every machine.
#pragma once
#include <vector>

#include "jit/compile.hpp"

namespace skep::jit {

struct Emitted {
  std::vector<u32> insn_offsets;
  std::vector<SubprogCode> subprogs;
  std::vector<u32> callback_offsets;  ///< parallel to subprogs; 0: not a callback
  u32 entry = 0, tail_entry = 0, burst = 0;
};

}  // namespace skep::jit
