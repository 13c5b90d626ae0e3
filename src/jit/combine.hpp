// The passes of make_plan().
#pragma once
#include "jit/plan.hpp"

namespace skep::jit {

/// Fills Node::dead_after by backward dataflow over each function, and what Function says of registers and
/// stack. Relies on targets and loops, on Function::first, end and has_may_goto.
void describe(const vm::Checked& program, std::span<const u32> stack_bytes, Plan& plan);
/// Byte-wise memory accesses starting at `at` that are one wide access: fills the nodes, says whether it did.
/// Clang writes fields of packed structures so. Relies on is_target, dead_after and on shapes found so far.
bool combine_bytes(const vm::Checked& program, Plan& plan, u32 at);
/// Calls of small functions become their bodies: Node::shape, Function::is_inlined and makes_calls. Relies on
/// what describe() says.
void inline_functions(const vm::Checked& program, Plan& plan);
/// Innermost loops that are one run of instructions: how often to repeat their bodies, where to align them.
/// And conditional jumps over a jump: turned round.
void unroll_loops(const vm::Checked& program, Plan& plan);
/// Fills Node::shape; relies on is_target and dead_after.
void combine(const vm::Checked& program, const Options& options, Plan& plan);

}  // namespace skep::jit
