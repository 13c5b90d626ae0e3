// The patterns. Each pattern looks at instructions that follow one another without a jump
// target among them and proves from liveness that intermediate values are not needed.
#include "jit/combine.hpp"

#include "jit/registers.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;
using isa::Insn;

namespace {

/// What try_patterns() has something for.
consteval std::array<bool, isa::form_count + 1> make_starts() {
  std::array<bool, isa::form_count + 1> starts{};
  for (const Form form : {Form::MOV64_X, Form::MOV32_X, Form::LDX_B, Form::LDX_H, Form::LDX_W, Form::LDX_DW,
                          Form::STX_B, Form::ST_B, Form::MOV64_K, Form::MOV32_K, Form::ADD64_K, Form::SUB64_K,
                          Form::OR64_K, Form::XOR64_K, Form::LE64, Form::LSH64_K, Form::LSH32_K})
    starts[isa::index_of(form)] = true;
  return starts;
}
constexpr auto starts_pattern = make_starts();

class Combiner {
 public:
  Combiner(const vm::Checked& program, const Options& options, Plan& plan)
      : program_(program), options_(options), plan_(plan) {}
  void run() {
    const u32 count = static_cast<u32>(program_.insns.size());
    const Form* const forms = program_.forms.data();
    const Node* const nodes = plan_.nodes.data();
    for (u32 i = 0; i < count; ++i)
      if (starts_pattern[isa::index_of(forms[i])] && nodes[i].shape == Shape::plain) try_patterns(i);
  }

 private:
  /// After a move: what the next instruction is decides what the two may begin. The patterns below that begin
  /// with a move rely on having one and a next instruction.
  void after_move(u32 i) {
    const u32 n = next(i);
    switch (n == 0 ? Form::invalid : program_.forms[n]) {
      case Form::LSH64_K:
      case Form::LSH32_K:
        if (!try_rotate(i) && !try_rotate_copy(i)) try_extend(i, n);
        return;
      case Form::RSH64_K:
      case Form::RSH32_K:
        if (!try_rotate(i) && !try_rotate_copy(i)) combine_bytes(program_, plan_, i);
        return;
      case Form::ADD64_K:
      case Form::ADD64_X:
        if (try_lea_index(i)) return try_indexed(i);
        try_lea(i);
        return;
      case Form::ADD32_K:
        try_lea(i);
        return;
      case Form::STX_B:
      case Form::MOV64_X:
      case Form::MOV32_X:
        combine_bytes(program_, plan_, i);
        return;
      default:
        return;
    }
  }
  void try_patterns(u32 i) {
    switch (program_.forms[i]) {
      case Form::MOV64_X:
        if (try_nothing(i)) return;
        [[fallthrough]];
      case Form::MOV32_X:
        return after_move(i);
      case Form::LDX_H:
      case Form::LDX_W:
      case Form::LDX_DW:
        try_load_swapped(i);
        return;
      case Form::LDX_B:
      case Form::STX_B:
      case Form::ST_B:
        combine_bytes(program_, plan_, i);
        return;
      case Form::LSH64_K:
      case Form::LSH32_K:
        try_extend(i, i);
        return;
      case Form::MOV64_K:
        if (try_current_cpu(i)) return;
        [[fallthrough]];
      case Form::MOV32_K:
        try_select(i);
        return;
      case Form::ADD64_K:
      case Form::SUB64_K:
      case Form::OR64_K:
      case Form::XOR64_K:
      case Form::LE64:
        try_nothing(i);
        return;
      default:
        return;
    }
  }

  /// The next slot, if control comes there only from `i`; else 0.
  [[nodiscard]] u32 next(u32 i) const {
    const u32 n = i + 1;
    if (n >= plan_.nodes.size()) return 0;
    const Node& node = plan_.nodes[n];  // second slots of ld_imm64 are absorbed
    return !node.is_target() && node.shape == Shape::plain ? n : 0;
  }
  [[nodiscard]] bool dead_after(u32 i, u8 r) const { return (plan_.nodes[i].dead_after & bit(r)) != 0; }

  bool try_nothing(u32 i) {
    const Insn& insn = program_.insns[i];
    const Form form = program_.forms[i];
    const bool nothing =
        (form == Form::MOV64_X && insn.dst == insn.src) ||
        ((form == Form::ADD64_K || form == Form::SUB64_K || form == Form::OR64_K || form == Form::XOR64_K) &&
         insn.imm == 0) ||
        form == Form::LE64;
    if (nothing) plan_.nodes[i].shape = Shape::nothing;
    return nothing;
  }

  /// rA = rB; rA += rC; or with rA += imm before or after the sum
  bool try_lea_index(u32 i) {
    if (program_.forms[i] != Form::MOV64_X) return false;
    const Insn& move = program_.insns[i];
    u32 at = next(i), last = i;
    s32 displacement = 0;
    u8 index = move.dst;
    bool constant = false;
    for (u32 k = 0; k < 2 && at != 0 && program_.insns[at].dst == move.dst; ++k, at = next(at)) {
      const Insn& add = program_.insns[at];
      if (program_.forms[at] == Form::ADD64_K && !constant) {
        constant = true;
        displacement = add.imm;
      } else if (program_.forms[at] == Form::ADD64_X && index == move.dst && add.src != move.dst) {
        index = add.src;
      } else {
        break;
      }
      last = at;
    }
    if (index == move.dst || move.dst == move.src) return false;
    plan_.nodes[i].shape = Shape::lea_index;
    plan_.details[i] = {.other = index, .base = move.src, .operand = displacement};
    for (u32 k = i + 1; k <= last; ++k) plan_.nodes[k].shape = Shape::absorbed;
    return true;
  }

  /// What a user of an address adds to it: a load or store its offset, a copy the constant that it grows by
  /// in the next instruction, `grown` (0: it does not).
  struct Addition {
    s32 amount = 0;
    u32 grown = 0;
  };
  [[nodiscard]] Addition addition(u32 at) const {
    const Insn& insn = program_.insns[at];
    if (program_.forms[at] != Form::MOV64_X) return {insn.off, 0};
    const u32 n = next(at);
    const bool grows = n != 0 && program_.forms[n] == Form::ADD64_K && program_.insns[n].dst == insn.dst;
    return grows ? Addition{program_.insns[n].imm, n} : Addition{};
  }

  /// Whether the instruction at `at` can take the sum that `address` holds itself: a load or store there, or
  /// another address that is made of it.
  bool can_index(u32 at, u8 address, s32 operand) const {
    const Insn& insn = program_.insns[at];
    const Form form = program_.forms[at];
    const Family family = family_of(form);
    if (form != Form::MOV64_X) {
      const bool loads = family == Family::ldx || family == Family::ldxsx;
      const bool stores = family == Family::st || (family == Family::stx && insn.src != address);
      if ((!loads && !stores) || (loads ? insn.src : insn.dst) != address) return false;
    }
    const s64 all = s64{operand} + addition(at).amount;
    return all == static_cast<s32>(all);
  }

  /// After lea_index: if loads, stores and further sums within the next instructions are all there is of rA,
  /// they take the sum themselves.
  void try_indexed(u32 i) {
    const Detail sum = plan_.details[i];
    const u8 address = program_.insns[i].dst, base = program_.insns[i].src, index = sum.other;
    constexpr u32 window = 6;
    u32 users[window], count = 0;
    u32 at = i;
    while (plan_.nodes[at + 1].shape == Shape::absorbed) ++at;
    for (u32 k = 0; k < window; ++k) {
      at = next(at);
      if (at == 0) return;
      const Form form = program_.forms[at];
      const Family family = family_of(form);
      const Operands operands = operands_of(program_.insns[at], form);
      if ((operands.reads & bit(address)) != 0) {
        if (!can_index(at, address, sum.operand)) return;
        users[count++] = at;
      } else if (is_conditional(family)) {
        if ((plan_.nodes[program_.target(at)].live & bit(address)) != 0) return;
      } else if (family != Family::alu64 && family != Family::alu32) {
        return;
      }
      const bool ends = dead_after(at, address) || (operands.writes & bit(address)) != 0;
      if (ends && count == 0) return;
      if (ends) break;
      if ((operands.writes & (bit(base) | bit(index))) != 0 || k + 1 == window) return;
    }
    // What stands in between must keep the terms now, where it kept the sum before.
    const u16 terms = static_cast<u16>(bit(base) | bit(index));
    for (u32 k = i; k <= users[count - 1]; ++k) plan_.nodes[k].dead_after &= static_cast<u16>(~terms);
    for (u32 k = 0; k < count; ++k) take_sum(users[k], base, sum);
    plan_.nodes[i].shape = Shape::nothing;
  }
  void take_sum(u32 at, u8 base, const Detail& sum) {
    const Addition more = addition(at);
    plan_.nodes[at].shape = program_.forms[at] == Form::MOV64_X ? Shape::lea_index : Shape::indexed;
    if (more.grown != 0) plan_.nodes[more.grown].shape = Shape::absorbed;
    plan_.details[at] = {.other = sum.other, .base = base, .operand = sum.operand + more.amount};
  }

  /// rD = a; if condition goto over; rD = b; over:
  void try_select(u32 i) {
    const u32 jump = next(i), other = jump == 0 ? 0 : next(jump);
    if (other == 0) return;
    const Form form = program_.forms[jump], second = program_.forms[other];
    const Family family = family_of(form);
    const u8 to = program_.insns[i].dst;
    if (!is_conditional(family)) return;
    const u32 over = program_.target(jump);
    if (over != other + 1) return;
    if ((second != Form::MOV64_K && second != Form::MOV32_K) || program_.insns[other].dst != to) return;
    if ((operands_of(program_.insns[jump], form).reads & bit(to)) != 0) return;
    plan_.nodes[i].shape = Shape::select;
    plan_.nodes[jump].shape = plan_.nodes[other].shape = Shape::absorbed;
    if (u8& jumps_in = plan_.nodes[over].jumps_in; jumps_in != 255) --jumps_in;
  }

  /// rA <<= n; rA >>= n, or, from `i` on, the same after rA = rB.
  void try_extend(u32 i, u32 left) {
    const u32 right = next(left);
    if (right == 0) return;
    const Insn &first = program_.insns[left], &second = program_.insns[right];
    const bool wide = program_.forms[left] == Form::LSH64_K;
    const Form form = program_.forms[right];
    const bool is_signed = form == (wide ? Form::ARSH64_K : Form::ARSH32_K);
    if (!is_signed && form != (wide ? Form::RSH64_K : Form::RSH32_K)) return;
    const s32 kept = (wide ? 64 : 32) - first.imm;
    if (first.dst != second.dst || first.imm != second.imm) return;
    if (kept != 8 && kept != 16 && !(wide && kept == 32)) return;
    if (i != left && (program_.forms[i] != Form::MOV64_X || program_.insns[i].dst != first.dst)) return;
    plan_.nodes[i].shape = Shape::extend;
    plan_.details[i] = {.other = i == left ? first.dst : program_.insns[i].src,
                        .bytes = static_cast<u8>(kept / 8),
                        .is_signed = is_signed,
                        .operand = wide ? 1 : 0};
    for (u32 k = i + 1; k <= right; ++k) plan_.nodes[k].shape = Shape::absorbed;
  }

  /// rA = rB; rA += imm
  void try_lea(u32 i) {
    const u32 n = i + 1;
    const Insn &move = program_.insns[i], &add = program_.insns[n];
    const bool wide = program_.forms[i] == Form::MOV64_X;
    const bool matching = wide ? program_.forms[n] == Form::ADD64_K : program_.forms[n] == Form::ADD32_K;
    if (!matching || add.dst != move.dst || move.dst == move.src) return;
    plan_.nodes[i].shape = Shape::lea;
    plan_.details[i] = {.operand = add.imm};
    plan_.nodes[n].shape = Shape::absorbed;
  }

  /// rT = rX; rX <<= n; rT >>= w - n; rX |= rT, or with the shifts or the roles of the two exchanged.
  bool try_rotate(u32 i) {
    const bool wide = program_.forms[i] == Form::MOV64_X;
    const u32 a = i + 1, b = next(a), c = b == 0 ? 0 : next(b);
    if (c == 0) return false;
    const Insn& move = program_.insns[i];
    const Insn *first = &program_.insns[a], *second = &program_.insns[b];
    const Insn& join = program_.insns[c];
    const Form left = wide ? Form::LSH64_K : Form::LSH32_K, right = wide ? Form::RSH64_K : Form::RSH32_K;
    const bool left_first = program_.forms[a] == left && program_.forms[b] == right;
    const bool right_first = program_.forms[a] == right && program_.forms[b] == left;
    if (!left_first && !right_first) return false;
    const s32 width = wide ? 64 : 32;
    const s32 by = left_first ? first->imm : second->imm;
    if (by <= 0 || by >= width || first->imm + second->imm != width) return false;
    const Form joined = program_.forms[c];
    const bool joins = wide ? joined == Form::OR64_X || joined == Form::ADD64_X || joined == Form::XOR64_X
                            : joined == Form::OR32_X || joined == Form::ADD32_X || joined == Form::XOR32_X;
    if (!joins || first->dst == second->dst) return false;
    const auto is_pair = [&](u8 x, u8 y) {
      return (x == move.dst && y == move.src) || (x == move.src && y == move.dst);
    };
    if (move.dst == move.src || !is_pair(first->dst, second->dst) || !is_pair(join.dst, join.src))
      return false;
    if (!dead_after(c, join.src)) return false;
    plan_.nodes[i].shape = Shape::rotate;
    plan_.details[i] = {.other = join.dst, .operand = by};
    for (const u32 k : {a, b, c}) plan_.nodes[k].shape = Shape::absorbed;
    return true;
  }

  /// rT = rX; rT >>= n; rD = rX; rD <<= w - n; rD |= rT, or with the shifts exchanged: X stays as it is.
  bool try_rotate_copy(u32 i) {
    const Form move_form = program_.forms[i];
    const bool wide = move_form == Form::MOV64_X;
    u32 at[5] = {i};
    for (u32 k = 1; k < 5; ++k)
      if ((at[k] = next(at[k - 1])) == 0) return false;
    const Insn &m1 = program_.insns[i], &s1 = program_.insns[at[1]], &m2 = program_.insns[at[2]],
               &s2 = program_.insns[at[3]], &join = program_.insns[at[4]];
    const Form left = wide ? Form::LSH64_K : Form::LSH32_K, right = wide ? Form::RSH64_K : Form::RSH32_K;
    const Form f1 = program_.forms[at[1]], f2 = program_.forms[at[3]];
    if (program_.forms[at[2]] != move_form || !((f1 == left && f2 == right) || (f1 == right && f2 == left)))
      return false;
    const s32 width = wide ? 64 : 32, by = f1 == left ? s1.imm : s2.imm;
    if (by <= 0 || by >= width || s1.imm + s2.imm != width) return false;
    if (program_.forms[at[4]] != (wide ? Form::OR64_X : Form::OR32_X)) return false;
    const u8 x = m1.src, t = m1.dst, d = m2.dst;
    if (m2.src != x || s1.dst != t || s2.dst != d || t == x || d == x || t == d) return false;
    const bool joins = (join.dst == t && join.src == d) || (join.dst == d && join.src == t);
    if (!joins || !dead_after(at[4], join.src)) return false;
    plan_.nodes[i].shape = Shape::rotate;
    plan_.details[i] = {.other = join.dst, .operand = by};
    for (u32 k = 1; k < 5; ++k) plan_.nodes[at[k]].shape = Shape::absorbed;
    return true;
  }

  /// rD = cpu_number; rD = &(void __percpu *)(rD); rD = *(u32 *)(rD + 0)
  bool try_current_cpu(u32 i) {
    const Insn& constant = program_.insns[i];
    if (program_.forms[i] != Form::MOV64_K || constant.imm != fixup::percpu_cpu_number) return false;
    const u32 a = next(i), b = a == 0 ? 0 : next(a);
    if (b == 0 || program_.forms[a] != Form::MOV_PERCPU || program_.forms[b] != Form::LDX_W) return false;
    const Insn &address = program_.insns[a], &load = program_.insns[b];
    const u8 r = constant.dst;
    if (address.src != r || address.dst != r || load.src != r || load.dst != r || load.off != 0) return false;
    plan_.nodes[i].shape = Shape::current_cpu;
    plan_.nodes[a].shape = plan_.nodes[b].shape = Shape::absorbed;
    return true;
  }

  /// rA = *(u16|u32|u64 *)(rB + off); rA = beN rA
  bool try_load_swapped(u32 i) {
    const u32 n = next(i);
    if (n == 0 || family_of(program_.forms[n]) != Family::end || !options_.cpu.movbe) return false;
    const Form swap = program_.forms[n];
    const u32 bits = isa::bytes_of_size(program_.insns[i].code) * 8;
    const bool swaps = swap != Form::LE16 && swap != Form::LE32 && swap != Form::LE64;
    if (!swaps || static_cast<u32>(program_.insns[n].imm) != bits ||
        program_.insns[n].dst != program_.insns[i].dst)
      return false;
    plan_.nodes[i].shape = Shape::load_swapped;
    plan_.nodes[n].shape = Shape::absorbed;
    return true;
  }

  const vm::Checked& program_;
  const Options& options_;
  Plan& plan_;
};

}  // namespace

void combine(const vm::Checked& program, const Options& options, Plan& plan) {
  Combiner(program, options, plan).run();
}

}  // namespace skep::jit
