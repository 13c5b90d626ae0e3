// How emitters put the body of a function where it is called (inline_calls.cpp says which).
#pragma once
#include <algorithm>
#include <vector>

#include "jit/plan.hpp"

namespace skep::jit {

/// The body of `f` once more, elsewhere: while it is emitted and its jumps are patched, `offsets` (of all
/// instructions) are the copy's. `jumps` holds those that are patched later; the body's leave it.
template <class Jump, class Here, class Emit, class Patch>
void emit_body(const Function& f, u32* offsets, std::vector<Jump>& jumps, Here here, Emit emit, Patch patch) {
  u32 own[longest_inlined];
  std::copy(offsets + f.first, offsets + f.end, own);
  const std::size_t outer_jumps = jumps.size();
  for (u32 i = f.first; i < f.end; ++i) {
    offsets[i] = here();
    emit(i);
  }
  for (std::size_t i = outer_jumps; i < jumps.size(); ++i)
    patch(jumps[i], jumps[i].target == f.end ? here() : offsets[jumps[i].target]);
  jumps.resize(outer_jumps);
  std::copy(own, own + (f.end - f.first), offsets + f.first);
}

}  // namespace skep::jit
