// What is to be known of each function before anything is emitted: which registers are live where, which it
// mentions, how much stack it takes. One walk backwards.
#include <algorithm>

#include "base/limits.hpp"
#include "jit/combine.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;

namespace {

/// Deepest byte below R10 that the function touches directly, and whether R10 is also used in other ways.
struct StackUse {
  u32 direct = 0;
  bool indirect = false;
};

void note_stack(const isa::Insn& insn, Form form, StackUse& use) {
  const Family family = family_of(form);
  const bool base_is_src = family == Family::ldx || family == Family::ldxsx || family == Family::probe ||
                           family == Family::load_acquire;
  const bool is_memory = base_is_src || family == Family::st || family == Family::stx ||
                         family == Family::atomic || family == Family::store_release;
  const bool also_a_value =
      (family == Family::stx || family == Family::atomic || family == Family::store_release) &&
      insn.src == 10;
  if (!is_memory || also_a_value || (base_is_src ? insn.src : insn.dst) != 10 || insn.off >= 0) {
    use.indirect = true;
    return;
  }
  use.direct = std::max(use.direct, static_cast<u32>(-insn.off));
}

/// Live registers before each slot. Backwards, and again over a loop whose head turns out to need more than
/// the jump back to it knew of: the sets only grow, so that ends.
class Walk {
 public:
  Walk(const vm::Checked& program, Plan& plan) : program_(program), plan_(plan) {}

  void run(Function& function, u32 given_stack) {
    sweep(function.first, function.end);
    function.saved = static_cast<u16>(mentioned_ & (bit(6) | bit(7) | bit(8) | bit(9)));
    function.uses_frame = (mentioned_ & bit(10)) != 0 || function.has_may_goto;
    if (!function.uses_frame) return;
    u32 bytes = given_stack != 0  ? given_stack + vm::frame_slack
                : stack_.indirect ? limits::stack_bytes + vm::frame_slack
                                  : 0;
    bytes = std::max(bytes, stack_.direct);
    function.stack_bytes = (bytes + 7) & ~u32{7};
  }

 private:
  void sweep(u32 first, u32 end) {
    Node* const nodes = plan_.nodes.data();
    const Form* const forms = program_.forms.data();
    const isa::Insn* const insns = program_.insns.data();
    u32 mentioned = 0;
    u16 after = 0;  // what is live behind the instruction
    for (u32 i = end; i-- > first;) {
      const Form form = forms[i];
      const detail::OperandRule& rule = detail::operand_rules[isa::index_of(form)];
      Node& node = nodes[i];
      switch (rule.flow) {
        case Flow::on:
          break;
        case Flow::ends:  // what callers keep in R6..R10 is saved and restored by the function itself
          after = 0;
          break;
        case Flow::jumps:
          after = nodes[program_.target(i)].live;
          break;
        case Flow::may_jump:
          after |= nodes[program_.target(i)].live;
          break;
      }
      node.dead_after = static_cast<u16>(~after & 0x7ff);
      const Operands operands = operands_of(insns[i], rule);
      after = static_cast<u16>((after & ~operands.writes) | operands.reads);
      mentioned |= operands.reads | operands.writes;
      if ((operands.reads & bit(10)) != 0) note_stack(insns[i], form, stack_);
      if (after == node.live) continue;
      node.live = after;
      if (!node.is_loop_head) continue;
      i = plan_.loop_end[i] + 1;
      after = i < end ? nodes[i].live : u16{0};
    }
    mentioned_ = mentioned;
  }

  const vm::Checked& program_;
  Plan& plan_;
  u32 mentioned_ = 0;
  StackUse stack_;
};

}  // namespace

void describe(const vm::Checked& program, std::span<const u32> stack_bytes, Plan& plan) {
  for (std::size_t f = 0; f < plan.functions.size(); ++f)
    Walk(program, plan).run(plan.functions[f], f < stack_bytes.size() ? stack_bytes[f] : 0);
}

}  // namespace skep::jit
