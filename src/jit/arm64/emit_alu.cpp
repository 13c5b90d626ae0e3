// Arithmetic, shifts, divisions, moves and byte swaps.
#include <bit>

#include "jit/arm64/emitter.hpp"

namespace skep::jit::arm64 {

using isa::Form;
namespace a64 = asmjit::a64;
namespace op = isa::op;

namespace {
bool is_wide(const a64::Gp& reg) { return reg.isGpX(); }
u64 halfword(u64 value, u32 which) { return value >> (16 * which) & 0xffff; }
}  // namespace

/// One instruction where one can say it (a halfword, its complement, a bit pattern), else halfword by
/// halfword.
void Emitter::move_imm(Gp dst, u64 value) {
  if (value == 0) {
    a_.mov(dst.w(), a64::wzr);
    return;
  }
  u32 zeros = 0, ones = 0;
  for (u32 i = 0; i < 4; ++i) {
    zeros += static_cast<u32>(halfword(value, i) == 0);
    ones += static_cast<u32>(halfword(value, i) == 0xffff);
  }
  const bool narrow = value <= 0xffffffff;
  if (zeros < 3 && ones < 3 && a64::Utils::isLogicalImm(value, 64)) {
    a_.orr(dst.x(), a64::xzr, value);
    return;
  }
  if (narrow && halfword(value, 1) == 0xffff) {
    a_.movn(dst.w(), static_cast<u32>(~value & 0xffff));
    return;
  }
  const u64 background = ones > zeros ? 0xffff : 0;
  bool first = true;
  for (u32 i = 0; i < 4; ++i) {
    const u64 part = halfword(value, i);
    if (part == background) continue;
    if (!first)
      a_.movk(dst.x(), part, a64::lsl(16 * i));
    else if (background != 0)
      a_.movn(dst.x(), ~part & 0xffff, a64::lsl(16 * i));
    else
      a_.movz(dst.x(), part, a64::lsl(16 * i));
    first = false;
  }
  if (first) a_.movn(dst.x(), 0);  // all ones
}

/// dst = src + value; takes scratch(0) where the value is large and `dst` is `src`.
void Emitter::add_imm(Gp dst, Gp src, s64 value) {
  const bool wide = is_wide(dst);
  const u64 size = value < 0 ? u64{0} - static_cast<u64>(value) : static_cast<u64>(value);
  if (size == 0) {
    if (dst.id() != src.id() || !wide) a_.mov(dst, src);
  } else if (size < 0x1000000) {
    const u64 low = size & 0xfff, high = size & 0xfff000;
    for (const u64 part : {high, low}) {
      if (part == 0) continue;
      if (value < 0)
        a_.sub(dst, src, part);
      else
        a_.add(dst, src, part);
      src = dst;
    }
  } else {
    const Gp constant = dst.id() == src.id() ? scratch(0, wide) : dst;
    move_imm(constant, wide ? static_cast<u64>(value) : static_cast<u32>(value));
    a_.add(dst, src, constant);
  }
}

void Emitter::alu_imm(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp dst = reg(i.dst, wide);
  const u8 operation = isa::op_of(i.code);
  switch (operation) {
    case op::ADD:
      return add_imm(dst, dst, i.imm);
    case op::SUB:
      return add_imm(dst, dst, -s64{i.imm});
    case op::MUL:
      return multiply_imm(dst, i.imm);
    case op::OR:
    case op::AND:
    case op::XOR:
      return logical_imm(operation, dst, i.imm);
    case op::MOV:
      return move_imm(r64(i.dst), wide ? static_cast<u64>(static_cast<s64>(i.imm)) : static_cast<u32>(i.imm));
    default:
      return shift_imm(operation, dst, static_cast<u32>(i.imm) & (wide ? 63 : 31));
  }
}

void Emitter::logical_imm(u8 operation, Gp dst, s32 imm) {
  const bool wide = is_wide(dst);
  if (imm == 0 || imm == -1) {
    const bool is_and = operation == op::AND;
    if (is_and && imm == 0)
      a_.mov(dst.w(), a64::wzr);
    else if (operation == op::XOR && imm == -1)
      a_.mvn(dst, dst);
    else if (operation == op::OR && imm == -1)
      move_imm(dst.x(), wide ? ~u64{0} : 0xffffffff);
    else if (!wide)  // no change, but the upper half becomes zero
      a_.mov(dst, dst);
    return;
  }
  const u64 value = wide ? static_cast<u64>(s64{imm}) : static_cast<u32>(imm);
  const auto emit = [&](const auto& operand) {
    if (operation == op::OR)
      a_.orr(dst, dst, operand);
    else if (operation == op::AND)
      a_.and_(dst, dst, operand);
    else
      a_.eor(dst, dst, operand);
  };
  if (a64::Utils::isLogicalImm(value, wide ? 64 : 32)) return emit(asmjit::Imm(value));
  const Gp constant = scratch(0, wide);
  move_imm(constant, value);
  emit(constant);
}

void Emitter::multiply_imm(Gp dst, s32 imm) {
  const bool wide = is_wide(dst);
  const u32 value = static_cast<u32>(imm);
  if (imm == 0) {
    a_.mov(dst.w(), a64::wzr);
  } else if (imm > 0 && std::has_single_bit(value)) {
    shift_imm(op::LSH, dst, static_cast<u32>(std::countr_zero(value)));
  } else {
    const Gp constant = scratch(0, wide);
    move_imm(constant, wide ? static_cast<u64>(s64{imm}) : value);
    a_.mul(dst, dst, constant);
  }
}

void Emitter::shift_imm(u8 operation, Gp dst, u32 count) {
  if (count == 0) {
    if (!is_wide(dst)) a_.mov(dst, dst);
  } else if (operation == op::LSH) {
    a_.lsl(dst, dst, count);
  } else if (operation == op::RSH) {
    a_.lsr(dst, dst, count);
  } else {
    a_.asr(dst, dst, count);
  }
}

void Emitter::alu_reg(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp dst = reg(i.dst, wide), src = reg(i.src, wide);
  switch (isa::op_of(i.code)) {
    case op::ADD:
      a_.add(dst, dst, src);
      return;
    case op::SUB:
      a_.sub(dst, dst, src);
      return;
    case op::MUL:
      a_.mul(dst, dst, src);
      return;
    case op::OR:
      a_.orr(dst, dst, src);
      return;
    case op::AND:
      a_.and_(dst, dst, src);
      return;
    case op::XOR:
      a_.eor(dst, dst, src);
      return;
    case op::MOV:
      a_.mov(dst, src);
      return;
    // The processor, too, counts modulo the width.
    case op::LSH:
      a_.lsl(dst, dst, src);
      return;
    case op::RSH:
      a_.lsr(dst, dst, src);
      return;
    default:
      a_.asr(dst, dst, src);
      return;
  }
}

/// Division and modulo by a constant that needs no division. False: nothing emitted.
bool Emitter::divide_imm(const isa::Insn& i, bool wide) {
  const Gp dst = reg(i.dst, wide);
  const bool modulo = isa::op_of(i.code) == op::MOD;
  if (i.imm == 0) {
    if (!modulo)
      a_.mov(dst.w(), a64::wzr);
    else if (!wide)
      a_.mov(dst, dst);
    return true;
  }
  const u64 divisor = wide ? static_cast<u64>(s64{i.imm}) : static_cast<u32>(i.imm);
  if (i.off == 1 || !std::has_single_bit(divisor)) return false;
  if (!modulo)
    shift_imm(op::RSH, dst, static_cast<u32>(std::countr_zero(divisor)));
  else if (divisor == 1)
    a_.mov(dst.w(), a64::wzr);
  else
    a_.and_(dst, dst, divisor - 1);
  return true;
}

/// The processor's division is RFC 9669's: by zero gives 0, the most negative by -1 is itself. With that,
/// a - a / b * b is the modulo in all these cases, too.
void Emitter::divide(u32 at, bool wide, bool is_signed) {
  const isa::Insn& i = insn(at);
  const bool by_register = isa::is_reg_source(i.code);
  if (!by_register && divide_imm(i, wide)) return;
  const Gp dst = reg(i.dst, wide);
  const Gp divisor = by_register ? reg(i.src, wide) : scratch(0, wide);
  if (!by_register) move_imm(divisor, wide ? static_cast<u64>(s64{i.imm}) : static_cast<u32>(i.imm));
  const bool modulo = isa::op_of(i.code) == op::MOD;
  const Gp quotient = modulo ? scratch(1, wide) : dst;
  if (is_signed)
    a_.sdiv(quotient, dst, divisor);
  else
    a_.udiv(quotient, dst, divisor);
  if (modulo) a_.msub(dst, quotient, divisor, dst);
}

/// `rD = percpu_cpu_number; rD = &(void __percpu *)(rD)`: the pair stands for RunContext::cpu's address.
void Emitter::per_cpu(u32 at) {
  const isa::Insn& i = insn(at);
  const bool is_cpu_number = at > 0 && program_.forms[at - 1] == Form::MOV64_K && insn(at - 1).dst == i.src &&
                             insn(at - 1).imm == fixup::percpu_cpu_number;
  if (is_cpu_number) return add_imm(r64(i.dst), run_context(), offsetof(RunContext, cpu));
  a_.ldr(scratch(0, true), field(offsetof(RunContext, percpu_offset)));
  a_.add(r64(i.dst), r64(i.src), scratch(0, true));
}

void Emitter::byte_swap(u32 at) {
  const isa::Insn& i = insn(at);
  const Gp low = r32(i.dst);
  switch (program_.forms[at]) {
    case Form::LE16:
      a_.uxth(low, low);
      return;
    case Form::LE32:
      a_.mov(low, low);
      return;
    case Form::LE64:
      return;
    case Form::BE16:
    case Form::BSWAP16:
      a_.rev16(low, low);
      a_.uxth(low, low);
      return;
    case Form::BE32:
    case Form::BSWAP32:
      a_.rev(low, low);
      return;
    default:
      a_.rev(r64(i.dst), r64(i.dst));
      return;
  }
}

void Emitter::sign_extend(u8 dst, u8 src, u32 from, bool wide) {
  if (from == 4)
    a_.sxtw(r64(dst), r32(src));
  else if (from == 2)
    a_.sxth(reg(dst, wide), r32(src));
  else
    a_.sxtb(reg(dst, wide), r32(src));
}

/// dst = src + `other` + operand
void Emitter::add_registers(u32 at) {
  const Detail& node = plan_.details[at];
  const Gp dst = r64(insn(at).dst);
  a_.add(dst, r64(node.base), r64(node.other));
  if (node.operand != 0) add_imm(dst, dst, node.operand);
}

void Emitter::extend(u32 at) {
  const Detail& node = plan_.details[at];
  const u8 to = insn(at).dst, from = node.other;
  if (node.is_signed)
    sign_extend(to, from, node.bytes, node.operand != 0);
  else if (node.bytes == 4)
    a_.mov(r32(to), r32(from));
  else if (node.bytes == 2)
    a_.uxth(r32(to), r32(from));
  else
    a_.uxtb(r32(to), r32(from));
}

/// x rotated left by `operand` into `other`, whichever of the pair that is.
void Emitter::rotate(u32 at) {
  const Detail& node = plan_.details[at];
  const bool wide = program_.forms[at] == Form::MOV64_X;
  a_.ror(reg(node.other, wide), reg(insn(at).src, wide), (wide ? 64 : 32) - node.operand);
}

}  // namespace skep::jit::arm64
