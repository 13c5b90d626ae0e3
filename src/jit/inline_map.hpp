// What the plan must know of inline_map.cpp and inline_helper.cpp.
#pragma once
#include <optional>

#include "jit/plan.hpp"

namespace skep::jit {

/// Bytes that a helper call at `at` takes beyond those of the call.
[[nodiscard]] u32 map_call_bound(const vm::Checked& program, const Plan& plan, u32 at);

/// Bytes that inline_helper() takes at most beyond those of a call.
inline constexpr u32 helper_bound = 56;
/// Whether a function is one that inline_helper() has code for.
[[nodiscard]] bool is_inlined(HelperFn fn);

}  // namespace skep::jit
