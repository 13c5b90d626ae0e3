// Loops whose body is one run of instructions that ends with the jump back. Their bodies are repeated, each
// copy followed by the loop's test turned round, so that the processor takes one jump for several rounds.
// Where the number of rounds is known and a multiple of the copies, the tests between them go, too. What
// jumps into the loop goes to the first copy, which is as good as any.
#include "jit/combine.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;
using isa::Insn;

namespace {

constexpr u32 longest_body = 24;    ///< instructions; longer bodies gain little
constexpr u32 longest_result = 72;  ///< instructions in all copies
constexpr u32 most_copies = 8;

class Unroller {
 public:
  Unroller(const vm::Checked& program, Plan& plan) : program_(program), plan_(plan) {}
  void run() {
    for (const u32 i : program_.jumps) {
      const u32 head = program_.target(i);
      const Family family = family_of(program_.forms[i]);
      if (!is_conditional(family) && family != Family::ja) continue;
      if (plan_.nodes[i].shape != Shape::plain) continue;
      if (head < i && i - head <= longest_body && is_one_run(head, i))
        unroll(head, i, family == Family::ja);
      else if (family == Family::ja)
        invert(i);
    }
  }

 private:
  /// `if condition goto over; goto there; over:`
  void invert(u32 i) {
    if (i == 0 || plan_.nodes[i].is_target() || plan_.nodes[i - 1].shape != Shape::plain) return;
    if (!is_conditional(family_of(program_.forms[i - 1])) || program_.target(i - 1) != i + 1) return;
    plan_.nodes[i - 1].shape = Shape::unless;
    plan_.nodes[i].shape = Shape::absorbed;
  }

  [[nodiscard]] bool is_one_run(u32 head, u32 last) const {
    for (u32 i = head; i < last; ++i) {
      const Form form = program_.forms[i];
      switch (form == Form::invalid ? Family::zext : family_of(form)) {
        case Family::ja:
        case Family::may_goto:
        case Family::call:
        case Family::tail_call:
        case Family::exit:
          return false;
        case Family::jcond64:
        case Family::jcond32: {
          // Threaded jumps go further: into the first copy they would go back, however far that is.
          const auto inside = [&](u32 target) { return target > head && target <= last; };
          const bool goes_inside = inside(program_.target(i)) || inside(destination(program_, plan_, i));
          if (plan_.nodes[i].shape == Shape::plain && goes_inside) return false;
          break;
        }
        default:
          break;
      }
    }
    return true;
  }

  void unroll(u32 head, u32 last, bool always) {
    plan_.nodes[head].aligned = true;
    const u32 most = std::min(most_copies, longest_result / (last - head + 1));
    const u64 rounds = always ? 0 : known_rounds(head, last);
    Node& node = plan_.nodes[last];
    for (u32 copies = most; copies > 1 && rounds != 0; --copies)
      if (rounds % copies == 0) {
        node.unroll = static_cast<u8>(copies);
        node.exact = true;
        step_once(head, last);
        return;
      }
    node.unroll = static_cast<u8>(std::min(most, 4u));
    node.exact = always;
  }

  /// Where the counter is only part of addresses, copies take its growth into their offsets, and it grows
  /// once for all of them. What leaves the loop in between must not need it.
  void step_once(u32 head, u32 last) {
    const u32 step_at = last - 1;
    const Insn& step = program_.insns[step_at];
    const u8 counter = program_.insns[last].dst;
    constexpr s32 largest_step = 4096;
    if (step_at <= head || program_.forms[step_at] != Form::ADD64_K || step.dst != counter) return;
    if (plan_.nodes[step_at].shape != Shape::plain || step.imm > largest_step || step.imm < -largest_step)
      return;
    for (u32 i = head; i < step_at; ++i)
      if (!is_address_only(i, counter)) return;
    plan_.nodes[step_at].shape = Shape::nothing;
    plan_.nodes[last].steps = true;
    plan_.details[last] = {.other = counter, .operand = step.imm};
  }
  [[nodiscard]] bool is_address_only(u32 i, u8 counter) const {
    const Form form = program_.forms[i];
    if (form == Form::invalid) return true;
    const Insn& insn = program_.insns[i];
    const Detail& detail = plan_.details[i];
    constexpr s32 largest_operand = 1 << 30;
    const auto takes_offset = [&] {
      return (detail.base == counter) + (detail.other == counter) < 2 && detail.operand < largest_operand &&
             detail.operand > -largest_operand;
    };
    const bool reads = (operands_of(insn, form).reads & bit(counter)) != 0;
    const Family family = family_of(form);
    switch (plan_.nodes[i].shape) {
      case Shape::nothing:
      case Shape::absorbed:  // of sums only; whatever else begins with an instruction that refuses below
        return true;
      case Shape::lea_index:
        return takes_offset();
      case Shape::indexed:
        return takes_offset() && !(family == Family::stx && insn.src == counter);
      case Shape::lea:
        return !reads;
      case Shape::plain:
        if (is_conditional(family))
          return !reads && (plan_.nodes[program_.target(i)].live & bit(counter)) == 0;
        if (family == Family::ldx || family == Family::ldxsx || family == Family::st) return true;
        if (family == Family::stx) return insn.src != counter;
        return !reads;
      default:
        return false;
    }
  }

  /// How often a loop runs whose counter starts at a constant, grows by a constant and ends at a constant; 0:
  /// not known. Leaving by another jump before does no harm.
  [[nodiscard]] u64 known_rounds(u32 head, u32 last) const {
    if (program_.forms[last] != Form::JNE64_K || plan_.nodes[head].jumps_in != 1) return 0;
    const u8 counter = program_.insns[last].dst;
    s64 step = 0;
    for (u32 i = head; i < last; ++i) {
      if (program_.forms[i] == Form::invalid) continue;
      if (i != head && plan_.nodes[i].is_target()) return 0;
      if ((operands_of(program_.insns[i], program_.forms[i]).writes & bit(counter)) == 0) continue;
      if (program_.forms[i] != Form::ADD64_K || step != 0 || program_.insns[i].imm == 0) return 0;
      step = program_.insns[i].imm;
    }
    if (step == 0 || plan_.nodes[last].is_target()) return 0;
    for (u32 i = head; i-- > 0 && !(i + 1 != head && plan_.nodes[i + 1].is_target());) {
      const Form form = program_.forms[i];
      if (form == Form::invalid) continue;
      if (family_of(form) == Family::ja || form == Form::EXIT) return 0;
      if ((operands_of(program_.insns[i], form).writes & bit(counter)) == 0) continue;
      const auto start = moved_constant(program_, plan_, i);
      if (!start) return 0;
      const s64 way = s64{program_.insns[last].imm} - static_cast<s64>(*start);
      return way % step == 0 && way / step > 0 ? static_cast<u64>(way / step) : 0;
    }
    return 0;
  }

  const vm::Checked& program_;
  Plan& plan_;
};

}  // namespace

void unroll_loops(const vm::Checked& program, Plan& plan) { Unroller(program, plan).run(); }

}  // namespace skep::jit
