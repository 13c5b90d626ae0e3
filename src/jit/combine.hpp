// The pass that finds instructions better emitted together or not at all.
#pragma once
#include "jit/plan.hpp"

namespace skep::jit {

/// Fills Node::dead_after by backward dataflow over each function.
void find_dead(const vm::Checked& program, Plan& plan);
/// Fills Node::shape; relies on is_target and dead_after.
void combine(const vm::Checked& program, const Options& options, Plan& plan);

}  // namespace skep::jit
