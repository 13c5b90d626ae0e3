// Arithmetic, shifts, divisions, moves and byte swaps.
#include <bit>

#include "jit/emitter.hpp"

namespace skep::jit {

using isa::Form;
namespace op = isa::op;

namespace {
bool is_low_byte_mask(s32 imm) { return imm == 0xff; }
bool is_low_half_mask(s32 imm) { return imm == 0xffff; }
}  // namespace

/// The shortest way to a 64-bit constant: xor, a 32-bit move, a sign-extended one, or all eight bytes.
void Emitter::move_imm(Gp dst, u64 value) {
  if (value == 0)
    a_.xor_(dst.r32(), dst.r32());
  else if (value <= 0xffffffff)
    a_.mov(dst.r32(), static_cast<u32>(value));
  else
    a_.mov(dst, value);
}

u64 Emitter::next_blind() {
  // splitmix64: what it gives is never shown but in the code itself.
  blind_ += 0x9e3779b97f4a7c15;
  u64 mixed = blind_;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
  return mixed ^ mixed >> 31;
}

/// A constant as two that have nothing of it (kernel: bpf_jit_blind_insn()); of a 64-bit register,
/// sign-extended.
void Emitter::blinded(Gp dst, s32 imm) {
  const s32 blind = static_cast<s32>(static_cast<u32>(next_blind()) | 0x01010101);
  a_.mov(dst, dst.is_wide() ? s64{imm ^ blind} : s64{static_cast<u32>(imm ^ blind)});
  a_.xor_(dst, blind);
}
void Emitter::blinded64(Gp dst, u64 value) {
  const u64 blind = next_blind() | 0x0101010101010101;
  a_.mov(dst, value ^ blind);
  a_.mov(scratch(0, true), blind);
  a_.xor_(dst, scratch(0, true));
}

void Emitter::alu_imm(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const Gp dst = reg(i.dst, wide);
  const u8 operation = isa::op_of(i.code);
  if (options_.harden && operation != op::LSH && operation != op::RSH && operation != op::ARSH) {
    if (operation == op::MOV) return blinded(dst, i.imm);
    blinded(scratch(0, wide), i.imm);
    return apply(operation, dst, scratch(0, wide));
  }
  // Adding nothing still clears the upper half of a 32-bit result.
  const bool no_change = i.imm == 0 && (operation == op::ADD || operation == op::SUB || operation == op::OR ||
                                        operation == op::XOR);
  if (no_change) {
    if (!wide) a_.mov(dst, dst);
    return;
  }
  switch (operation) {
    case op::ADD:
      if (i.imm == 128)
        a_.sub(dst, -128);
      else
        a_.add(dst, i.imm);
      return;
    case op::SUB:
      if (i.imm == 128)
        a_.add(dst, -128);
      else
        a_.sub(dst, i.imm);
      return;
    case op::MUL:
      return multiply_imm(dst, i.imm);
    case op::OR:
      a_.or_(dst, i.imm);
      return;
    case op::AND:
      return and_imm(i, wide);
    case op::XOR:
      if (i.imm == -1)
        a_.not_(dst);
      else
        a_.xor_(dst, i.imm);
      return;
    case op::MOV:
      move_imm(r64(i.dst), wide ? static_cast<u64>(static_cast<s64>(i.imm)) : static_cast<u32>(i.imm));
      return;
    default:
      return shift_imm(operation, dst, static_cast<u32>(i.imm) & (wide ? 63 : 31));
  }
}

void Emitter::and_imm(const isa::Insn& i, bool wide) {
  const Gp low = r32(i.dst);
  if (i.imm == 0)
    a_.xor_(low, low);
  else if (is_low_byte_mask(i.imm))
    a_.movzx(low, low.r8());
  else if (is_low_half_mask(i.imm))
    a_.movzx(low, low.r16());
  else if (i.imm == -1 && !wide)
    a_.mov(low, low);
  else if (i.imm == -1)
    return;
  else if (i.imm > 0)
    a_.and_(low, i.imm);  // the upper half becomes zero either way
  else
    a_.and_(reg(i.dst, wide), i.imm);
}

void Emitter::multiply_imm(Gp dst, s32 imm) {
  const u32 value = static_cast<u32>(imm);
  if (imm == 0)
    a_.xor_(dst.r32(), dst.r32());
  else if (imm == 1 && !dst.is_wide())
    a_.mov(dst, dst);
  else if (imm == 1)
    return;
  else if (imm > 0 && std::has_single_bit(value))
    a_.shl(dst, static_cast<u32>(std::countr_zero(value)));
  else if (imm == 3 || imm == 5 || imm == 9)
    a_.lea(dst, x86::ptr(dst.r64(), dst.r64(), static_cast<u32>(std::countr_zero(value - 1)), 0));
  else
    a_.imul(dst, dst, imm);
}

void Emitter::shift_imm(u8 operation, Gp dst, u32 count) {
  if (count == 0) {
    if (!dst.is_wide()) a_.mov(dst, dst);
    return;
  }
  switch (operation) {
    case op::LSH:
      if (count == 1)
        a_.add(dst, dst);
      else
        a_.shl(dst, count);
      return;
    case op::RSH:
      a_.shr(dst, count);
      return;
    default:
      a_.sar(dst, count);
      return;
  }
}

void Emitter::alu_reg(u32 at, bool wide) {
  const isa::Insn& i = insn(at);
  const u8 operation = isa::op_of(i.code);
  if (operation == op::LSH || operation == op::RSH || operation == op::ARSH)
    shift_reg(operation, i, wide);
  else
    apply(operation, reg(i.dst, wide), reg(i.src, wide));
}

void Emitter::apply(u8 operation, Gp dst, Gp src) {
  switch (operation) {
    case op::ADD:
      a_.add(dst, src);
      return;
    case op::SUB:
      a_.sub(dst, src);
      return;
    case op::MUL:
      a_.imul(dst, src);
      return;
    case op::OR:
      a_.or_(dst, src);
      return;
    case op::AND:
      a_.and_(dst, src);
      return;
    case op::XOR:
      if (dst.id() == src.id())
        a_.xor_(dst.r32(), dst.r32());
      else
        a_.xor_(dst, src);
      return;
    default:  // MOV
      a_.mov(dst, src);
      return;
  }
}

/// With BMI2 any register counts; without it only cl does, which is R4's.
void Emitter::shift_reg(u8 operation, const isa::Insn& i, bool wide) {
  const Gp dst = reg(i.dst, wide), src = reg(i.src, wide);
  if (options_.cpu.bmi2) {
    if (operation == op::LSH)
      a_.shlx(dst, dst, src);
    else if (operation == op::RSH)
      a_.shrx(dst, dst, src);
    else
      a_.sarx(dst, dst, src);
    return;
  }
  const auto shift = [&](Gp target) {
    if (operation == op::LSH)
      a_.shl_cl(target);
    else if (operation == op::RSH)
      a_.shr_cl(target);
    else
      a_.sar_cl(target);
  };
  constexpr u8 rcx_is = 4;
  if (i.src == rcx_is) return shift(dst);
  const Gp saved = scratch(0, true);
  a_.mov(saved, x86::rcx);
  a_.mov(x86::ecx, r32(i.src));
  if (i.dst == rcx_is) {
    shift(wide ? saved : saved.r32());
    a_.mov(x86::rcx, saved);
  } else {
    shift(dst);
    a_.mov(x86::rcx, saved);
  }
}

/// Division and modulo by a constant that needs no division. False: nothing emitted.
bool Emitter::divide_imm(const isa::Insn& i, bool wide) {
  const Gp dst = reg(i.dst, wide), low = r32(i.dst);
  const bool modulo = isa::op_of(i.code) == op::MOD;
  if (i.imm == 0) {
    if (!modulo)
      a_.xor_(low, low);
    else if (!wide)
      a_.mov(low, low);
    return true;
  }
  const u64 divisor = wide ? static_cast<u64>(static_cast<s64>(i.imm)) : static_cast<u32>(i.imm);
  if (i.off == 1 || !std::has_single_bit(divisor)) return false;
  const u32 shift = static_cast<u32>(std::countr_zero(divisor));
  if (!modulo) {
    shift_imm(op::RSH, dst, shift);
  } else if (shift < 32) {
    isa::Insn mask = i;
    mask.imm = static_cast<s32>((1u << shift) - 1);
    and_imm(mask, wide);
  } else {
    return false;
  }
  return true;
}

/// Whether the fixups' guard stands before the division: control comes here with a divisor that is not 0
/// only.
bool Emitter::divisor_was_tested(u32 at, bool wide) const {
  if (!options_.combine) return false;
  const auto tests = [&](u32 from, Form form64, Form form32) {
    const Form form = program_.forms[from];
    return (form == form32 || (wide && form == form64)) && insn(from).dst == insn(at).src &&
           insn(from).imm == 0;
  };
  const u32 jumps_in = plan_.nodes[at].jumps_in;
  if (jumps_in == 0) return at >= 1 && tests(at - 1, Form::JEQ64_K, Form::JEQ32_K);
  return jumps_in == 1 && at >= 3 && program_.forms[at - 1] == Form::JA &&
         tests(at - 3, Form::JNE64_K, Form::JNE32_K) && program_.target(at - 3) == at;
}

/// RFC 9669: by zero gives 0, modulo zero the dividend; the most negative by -1 is itself (the processor
/// would trap on both).
void Emitter::divide(u32 at, bool wide, bool is_signed) {
  const isa::Insn& i = insn(at);
  const bool by_register = isa::is_reg_source(i.code);
  const bool modulo = isa::op_of(i.code) == op::MOD;
  if (!by_register && (!options_.harden || i.imm == 0) && divide_imm(i, wide)) return;
  // The divisor must survive the dividend's move into rdx:rax, where R3 and R0 live.
  const bool in_the_way = by_register && (i.src == 0 || i.src == 3);
  const Gp dst = reg(i.dst, wide);
  const Gp divisor = by_register && !in_the_way ? reg(i.src, wide) : scratch(0, wide);
  if (in_the_way)
    a_.mov(divisor, reg(i.src, wide));
  else if (!by_register && options_.harden)
    blinded(divisor, i.imm);
  else if (!by_register && wide)
    a_.mov(divisor, static_cast<s64>(i.imm));
  else if (!by_register)
    a_.mov(divisor, static_cast<u32>(i.imm));

  Label zero, minus_one, done;
  const bool tests_zero = by_register && !divisor_was_tested(at, wide);
  const bool zero_has_code = tests_zero && !(modulo && wide);  // 64-bit modulo zero leaves the dividend
  if (tests_zero) {
    a_.test(divisor, divisor);
    a_.short_j(Cond::e, zero_has_code ? zero : done);
  }
  if (is_signed) {
    a_.cmp(divisor, -1);
    a_.short_j(Cond::e, minus_one);
  }
  divide_core(at, divisor, wide, is_signed);
  if (zero_has_code || is_signed) a_.short_jmp(done);
  if (is_signed) {
    a_.bind(minus_one);
    if (modulo)
      a_.xor_(dst.r32(), dst.r32());
    else
      a_.neg(dst);
    if (zero_has_code) a_.short_jmp(done);
  }
  if (zero_has_code) {
    a_.bind(zero);
    if (modulo)
      a_.mov(dst, dst);
    else
      a_.xor_(dst.r32(), dst.r32());
  }
  a_.bind(done);
}

/// rdx:rax by `divisor`; R0 and R3 live there and are put aside unless they are dead or the destination.
void Emitter::divide_core(u32 at, Gp divisor, bool wide, bool is_signed) {
  const isa::Insn& i = insn(at);
  constexpr u8 rax_is = 0, rdx_is = 3;
  const bool keep_rax = i.dst != rax_is && !is_dead_after(at, rax_is);
  const bool keep_rdx = i.dst != rdx_is && !is_dead_after(at, rdx_is);
  const Gp kept_rax = scratch(1, true), kept_rdx = scratch(2, true);
  if (keep_rax) a_.mov(kept_rax, x86::rax);
  if (keep_rdx) a_.mov(kept_rdx, x86::rdx);
  if (i.dst != rax_is) a_.mov(reg(rax_is, wide), reg(i.dst, wide));
  if (wide && !is_signed) {
    // Dividing 32 bits takes half the time on many processors, and numbers are rarely larger: those that are
    // stand behind the function.
    WideDivision wide_one{{}, {}, static_cast<u8>(divisor.id())};
    a_.mov(x86::rdx, x86::rax);
    a_.or_(x86::rdx, divisor);
    a_.shr(x86::rdx, 32);
    a_.j(Cond::ne, wide_one.begin);
    a_.div(divisor.r32());
    a_.bind(wide_one.done);
    wide_divisions_.push_back(wide_one);
  } else if (!is_signed) {
    a_.xor_(x86::edx, x86::edx);
    a_.div(divisor);
  } else if (wide) {
    a_.cqo();
    a_.idiv(divisor);
  } else {
    a_.cdq();
    a_.idiv(divisor);
  }
  const bool modulo = isa::op_of(i.code) == op::MOD;
  const u8 result = modulo ? rdx_is : rax_is;
  if (i.dst != result) a_.mov(reg(i.dst, wide), reg(result, wide));
  if (keep_rax) a_.mov(x86::rax, kept_rax);
  if (keep_rdx) a_.mov(x86::rdx, kept_rdx);
}

void Emitter::emit_wide_divisions() {
  for (WideDivision& division : wide_divisions_) {
    a_.reserve(32);
    a_.bind(division.begin);
    a_.xor_(x86::edx, x86::edx);
    a_.div(x86::gpq(division.divisor));
    a_.jmp(division.done);
  }
  wide_divisions_.clear();
}

void Emitter::byte_swap(u32 at) {
  const isa::Insn& i = insn(at);
  const Gp low = r32(i.dst);
  switch (program_.forms[at]) {
    case Form::LE16:
      a_.movzx(low, low.r16());
      return;
    case Form::LE32:
      a_.mov(low, low);
      return;
    case Form::LE64:
      return;
    case Form::BE16:
    case Form::BSWAP16:
      a_.rol(low.r16(), 8);
      a_.movzx(low, low.r16());
      return;
    case Form::BE32:
    case Form::BSWAP32:
      a_.bswap(low);
      return;
    default:
      a_.bswap(r64(i.dst));
      return;
  }
}

void Emitter::sign_extend(u8 dst, u8 src, u32 from, bool wide) {
  if (from == 4)
    a_.movsxd(r64(dst), r32(src));
  else
    a_.movsx(reg(dst, wide), sized(r64(src), from));
}

void Emitter::extend(u32 at) {
  const Detail& node = plan_.details[at];
  const u8 to = insn(at).dst, from = node.other;
  if (node.is_signed)
    sign_extend(to, from, node.bytes, node.operand != 0);
  else if (node.bytes == 4)
    a_.mov(r32(to), r32(from));
  else
    a_.movzx(r32(to), sized(r64(from), node.bytes));
}

/// x rotated left by `operand` into `other`, whichever of the pair that is.
void Emitter::rotate(u32 at) {
  const isa::Insn& move = insn(at);
  const Detail& node = plan_.details[at];
  const bool wide = program_.forms[at] == Form::MOV64_X;
  const Gp dst = reg(node.other, wide), src = reg(move.src, wide);
  if (node.other == move.src)
    a_.rol(dst, static_cast<u32>(node.operand));
  else if (options_.cpu.bmi2)
    a_.rorx(dst, src, static_cast<u32>((wide ? 64 : 32) - node.operand));
  else {
    a_.mov(dst, src);
    a_.rol(dst, static_cast<u32>(node.operand));
  }
}

}  // namespace skep::jit
