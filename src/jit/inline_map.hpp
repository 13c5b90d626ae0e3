// What the plan must know of inline_map.cpp.
#pragma once
#include <optional>

#include "jit/plan.hpp"

namespace skep::jit {

/// Bytes that a helper call at `at` takes beyond those of the call.
[[nodiscard]] u32 map_call_bound(const vm::Checked& program, const Plan& plan, u32 at);

}  // namespace skep::jit
