// Division by zero is defined (0, and modulo leaves the dividend), but machines trap on it, and on the
// smallest number divided by -1: guards stand before every division by a register.
#include "fixup/rewrite.hpp"

namespace skep::fixup {
namespace {

using namespace isa::op;

Patch guard_unsigned(const isa::Insn& insn, bool is64, bool is_div) {
  if (is_div) {
    return {jump_if(JNE, is64, insn.src, 0, 2), isa::encode(isa::Form::XOR32_X, insn.dst, insn.dst), jump(1),
            insn};
  }
  Patch patch{jump_if(JEQ, is64, insn.src, 0, is64 ? 1 : 2), insn};
  if (!is64) {  // the dividend that stays is zero-extended
    patch.add(jump(1));
    patch.add(mov32_reg(insn.dst, insn.dst));
  }
  return patch;
}

/// Divisor plus one in the hidden register: 1 for 0, 0 for -1, above 1 (unsigned) for all others.
Patch guard_signed(const isa::Insn& insn, bool is64, bool is_div) {
  Patch patch{isa::encode(isa::Form::MOV64_X, r_ax, insn.src), alu_imm(ADD, is64, r_ax, 1)};
  if (is_div) {
    patch.add(jump_if(JGT, is64, r_ax, 1, 4));
    patch.add(jump_if(JEQ, is64, r_ax, 0, 1));
    patch.add(alu_imm(MOV, is64, insn.dst, 0));
    patch.add(alu_imm(NEG, is64, insn.dst, 0));
    patch.add(jump(1));
    patch.add(insn);
    return patch;
  }
  patch.add(jump_if(JGT, is64, r_ax, 1, 3));
  patch.add(jump_if(JEQ, is64, r_ax, 1, is64 ? 3 : 4));
  patch.add(alu_imm(MOV, false, insn.dst, 0));
  patch.add(jump(1));
  patch.add(insn);
  if (!is64) {
    patch.add(jump(1));
    patch.add(mov32_reg(insn.dst, insn.dst));
  }
  return patch;
}

}  // namespace

Patch guard_division(const isa::Insn& insn) {
  const u8 cls = isa::class_of(insn.code);
  const u8 op = isa::op_of(insn.code);
  if ((cls != ALU && cls != ALU64) || (op != DIV && op != MOD)) return {};
  const bool is64 = cls == ALU64;
  const bool is_signed = insn.off == 1;
  if (!isa::is_reg_source(insn.code)) {
    if (!is_signed || insn.imm != -1) return {};
    return op == DIV ? Patch{alu_imm(NEG, is64, insn.dst, 0)} : Patch{alu_imm(MOV, false, insn.dst, 0)};
  }
  return is_signed ? guard_signed(insn, is64, op == DIV) : guard_unsigned(insn, is64, op == DIV);
}

}  // namespace skep::fixup
