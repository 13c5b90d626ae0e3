// Helpers that are a few instructions on the run context, as these instructions.
#include <cstddef>

#include "jit/emitter.hpp"
#include "jit/inline_map.hpp"

namespace skep::jit {

using helpers::Simple;

bool is_inlined(HelperFn fn) { return helpers::simple(fn) != Simple::none; }

bool Emitter::inline_helper(u32 at) {
  if (!options_.combine) return false;
  switch (helpers::simple(program_.helper(at))) {
    case Simple::none:
      return false;
    case Simple::prandom_u32:
      inline_prandom();
      return true;
    case Simple::processor_id:
      a_.mov(x86::eax, field(offsetof(RunContext, cpu), 4));
      return true;
    case Simple::xdp_redirect:
      inline_redirect(helpers::xdp_redirect_rule);
      return true;
    case Simple::tc_redirect:
      inline_redirect(helpers::tc_redirect_rule);
      return true;
  }
  return false;
}

void Emitter::inline_prandom() {
  using helpers::Prandom;
  const Mem state = field(offsetof(RunContext, prandom_state), 8);
  const Gp other = scratch(0, true);
  a_.mov(x86::rax, Prandom::step);
  a_.add(x86::rax, state);
  a_.mov(state, x86::rax);
  a_.mov(other, Prandom::mask);
  a_.xor_(other, x86::rax);
  a_.mul(other);  // rdx:rax; R3 is the callee's to change
  a_.xor_(x86::eax, x86::edx);
}

void Emitter::inline_redirect(const helpers::RedirectRule& rule) {
  constexpr std::size_t info = offsetof(RunContext, redirect);
  const Gp ifindex = r32(1), flags = r64(2);
  Label refused;
  move_imm(x86::rax, rule.refused);
  if (rule.allowed_flags == 0)
    a_.test(flags, flags);
  else
    a_.test(flags, ~static_cast<s32>(rule.allowed_flags));
  a_.short_j(Cond::ne, refused);
  a_.mov(field(info + offsetof(RedirectInfo, ifindex), 4), ifindex);
  a_.mov(field(info + offsetof(RedirectInfo, flags), 4), flags.r32());
  a_.xor_(x86::eax, x86::eax);
  a_.mov(field(info + offsetof(RedirectInfo, map), 8), x86::rax);
  a_.mov(field(info + offsetof(RedirectInfo, map_index), 4), x86::eax);
  move_imm(x86::rax, rule.done);
  a_.bind(refused);
}

}  // namespace skep::jit
