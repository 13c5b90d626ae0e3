// Many packets through one call into a program.
#pragma once
#include "helpers/run_context.hpp"

namespace skep {

/// Contexts that stand `stride` bytes apart (0: the same one again and again), and room for a result each.
struct Burst {
  void* contexts = nullptr;
  u64 stride = 0;
  u32* results = nullptr;
  u32 count = 0;
  /// After a result outside [ordinary, ordinary + ordinary_count) the burst pauses, so that what the run left
  /// in the RunContext can be looked at.
  u32 ordinary = 0;
  u32 ordinary_count = ~u32{0};
};

/// Runs a program on the contexts of a burst, each as a run of its own: ctx set, redirect and tail calls
/// cleared. Returns how many it ran: all, or up to the first whose result is not ordinary. `count` is at
/// least 1.
struct BurstEntry {
  u32 (*run)(const void* self, const Burst* burst, RunContext* rc) = nullptr;
  const void* self = nullptr;
  u32 operator()(const Burst& burst, RunContext* rc) const { return run(self, &burst, rc); }
};

/// The same with a call for each context: for engines without a burst of their own. `self` is an Entry.
inline u32 run_each(const void* self, const Burst* burst, RunContext* rc) {
  const Entry& entry = *static_cast<const Entry*>(self);
  auto* ctx = static_cast<unsigned char*>(burst->contexts);
  for (u32 i = 0; i < burst->count; ++i, ctx += burst->stride) {
    rc->redirect = {};
    rc->tail_calls = 0;
    rc->ctx = ctx;
    burst->results[i] = static_cast<u32>(entry(ctx, rc));
    if (burst->results[i] - burst->ordinary >= burst->ordinary_count) return i + 1;
  }
  return burst->count;
}

}  // namespace skep
