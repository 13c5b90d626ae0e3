// What arithmetic, comparisons and byte swaps compute (RFC 9669 sections 4.1 to 4.3), once, as constexpr
// functions over u32 or u64: the interpreter runs them, tests compare engines with them, and whoever folds
// constants may use them. Division by zero gives 0, modulo by zero the dividend, shifts use the low bits of
// the count, the most negative value divided by -1 is itself.
#pragma once
#include <bit>
#include <concepts>
#include <type_traits>

#include "isa/insn.hpp"

namespace skep::isa {

template <class U>
concept Word = std::same_as<U, u32> || std::same_as<U, u64>;

template <Word U>
using Signed = std::make_signed_t<U>;

template <Word U>
constexpr U sdiv(U a, U b) {
  if (b == 0) return 0;
  if (b == static_cast<U>(-1)) return U{0} - a;
  return static_cast<U>(static_cast<Signed<U>>(a) / static_cast<Signed<U>>(b));
}
template <Word U>
constexpr U smod(U a, U b) {
  if (b == 0) return a;
  if (b == static_cast<U>(-1)) return 0;
  return static_cast<U>(static_cast<Signed<U>>(a) % static_cast<Signed<U>>(b));
}

/// `operation` is one of op::ADD ... op::ARSH; NEG ignores b.
template <Word U>
constexpr U alu(u8 operation, U a, U b) {
  constexpr U shift_mask = sizeof(U) * 8 - 1;
  switch (operation) {
    case op::ADD:
      return a + b;
    case op::SUB:
      return a - b;
    case op::MUL:
      return a * b;
    case op::DIV:
      return b == 0 ? 0 : a / b;
    case op::OR:
      return a | b;
    case op::AND:
      return a & b;
    case op::LSH:
      return a << (b & shift_mask);
    case op::RSH:
      return a >> (b & shift_mask);
    case op::NEG:
      return U{0} - a;
    case op::MOD:
      return b == 0 ? a : a % b;
    case op::XOR:
      return a ^ b;
    case op::ARSH:
      return static_cast<U>(static_cast<Signed<U>>(a) >> (b & shift_mask));
    default:
      return b;  // op::MOV
  }
}

/// `operation` is one of op::JEQ ... op::JSLE.
template <Word U>
constexpr bool cond(u8 operation, U a, U b) {
  const auto sa = static_cast<Signed<U>>(a), sb = static_cast<Signed<U>>(b);
  switch (operation) {
    case op::JEQ:
      return a == b;
    case op::JNE:
      return a != b;
    case op::JGT:
      return a > b;
    case op::JGE:
      return a >= b;
    case op::JLT:
      return a < b;
    case op::JLE:
      return a <= b;
    case op::JSET:
      return (a & b) != 0;
    case op::JSGT:
      return sa > sb;
    case op::JSGE:
      return sa >= sb;
    case op::JSLT:
      return sa < sb;
    default:
      return sa <= sb;  // op::JSLE
  }
}

/// The low 16, 32 or 64 bits with their bytes reversed; the rest is zero.
constexpr u64 byte_swap(u64 value, u32 width) {
  if (width == 16) return __builtin_bswap16(static_cast<u16>(value));
  if (width == 32) return __builtin_bswap32(static_cast<u32>(value));
  return __builtin_bswap64(value);
}
/// To little endian on a little-endian machine: the low `width` bits.
constexpr u64 truncate(u64 value, u32 width) { return width == 64 ? value : value & ((u64{1} << width) - 1); }
/// The low 8, 16 or 32 bits sign-extended to 64.
constexpr u64 sign_extend(u64 value, u32 width) {
  const u32 shift = 64 - width;
  return static_cast<u64>(static_cast<s64>(value << shift) >> shift);
}

/// The new value of an atomic operation's memory; `imm` with or without op::FETCH.
template <Word U>
constexpr U atomic_result(s32 imm, U memory, U operand) {
  return (imm & 0xf0) == 0xe0 ? operand : alu<U>(static_cast<u8>(imm & 0xf0), memory, operand);
}

}  // namespace skep::isa
