// What the plan and the emitter must know of inline_map.cpp, and the plan of inline_helper.cpp.
#pragma once
#include <array>
#include <bitset>
#include <optional>

#include "jit/plan.hpp"

namespace skep::jit {

/// Longer keys are left to the maps.
inline constexpr u32 longest_key = 64;

/// Bytes of a key that are the same whenever the program gets there.
struct KnownBytes {
  std::bitset<longest_key> which;
  std::array<std::byte, longest_key> bytes{};
  [[nodiscard]] bool all(u32 size) const { return which.count() == size; }
};

/// Bytes that a helper call at `at` takes beyond those of the call.
[[nodiscard]] u32 map_call_bound(const vm::Checked& program, const Plan& plan, u32 at);

/// Bytes that inline_helper() takes at most beyond those of a call.
inline constexpr u32 helper_bound = 56;
/// Whether a function is one that inline_helper() has code for.
[[nodiscard]] bool is_inlined(HelperFn fn);

}  // namespace skep::jit
