// Loops whose body is one run of instructions that ends with the jump back. Their bodies are repeated, each
// copy followed by the loop's test turned round, so that the processor takes one jump for several rounds.
// Where the number of rounds is known and a multiple of the copies, the tests between them go, too. What
// jumps into the loop goes to the first copy, which is as good as any.
#include "jit/combine.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;

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
      if (head >= i || i - head > longest_body || plan_.nodes[i].shape != Shape::plain) continue;
      const Family family = family_of(program_.forms[i]);
      if (family != Family::jcond64 && family != Family::jcond32 && family != Family::ja) continue;
      if (is_one_run(head, i)) unroll(head, i, family == Family::ja);
    }
  }

 private:
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
          const u32 target = program_.target(i);
          const bool inside = target > head && target <= last;
          if (plan_.nodes[i].shape == Shape::plain && inside) return false;
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
        return;
      }
    node.unroll = static_cast<u8>(std::min(most, 4u));
    node.exact = always;
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
      // One of two values (Shape::select) is no constant.
      if ((form != Form::MOV64_K && form != Form::MOV32_K) || plan_.nodes[i].shape != Shape::plain) return 0;
      const s32 imm = program_.insns[i].imm;
      const s64 start = form == Form::MOV64_K ? s64{imm} : s64{static_cast<u32>(imm)};
      const s64 way = s64{program_.insns[last].imm} - start;
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
