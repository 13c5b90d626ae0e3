// Small functions inside those that call them: no loop, no call, none of the registers that a function saves,
// no frame. Such a body is the same wherever it stands; its own instructions keep their place in the
// function's code (Emitted::insn_offsets), and what happens in a copy is reported of the call.
#include "jit/combine.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Form;

namespace {

bool is_small(const vm::Checked& program, const Plan& plan, const Function& f) {
  if (f.end - f.first > longest_inlined || f.makes_calls || f.has_may_goto || f.uses_frame || f.saved != 0)
    return false;
  for (u32 i = f.first; i < f.end; ++i)
    if (plan.nodes[i].is_loop_head) return false;
  return program.forms[f.end - 1] == Form::EXIT;
}

}  // namespace

void inline_functions(const vm::Checked& program, Plan& plan) {
  if (plan.functions.size() == 1) return;
  bool any = false;
  for (std::size_t f = 1; f < plan.functions.size(); ++f)
    any |= plan.functions[f].is_inlined = is_small(program, plan, plan.functions[f]);
  if (!any) return;
  // Who calls nobody else any more is a leaf.
  for (Function& f : plan.functions) f.makes_calls = f.calls_helpers;
  for (const u32 i : program.jumps) {
    if (program.forms[i] != Form::CALL_LOCAL) continue;
    if (plan.functions[program.subprog_at(program.target(i))].is_inlined)
      plan.nodes[i].shape = Shape::inlined;
    else
      plan.functions[program.subprog_at(i)].makes_calls = true;
  }
}

}  // namespace skep::jit
