// Arithmetic and bitwise operations on scalars: what the result's tnum and ranges are. Shifts are in
// shift.cpp, moves, sign extension and byte swaps in extend.cpp. Each range operator is written once and used
// for 64 and 32 bits (kernel: scalar_min_max_*() and scalar32_min_max_*()).
#include "verifier/domain/alu.hpp"

#include "verifier/domain/ranges.hpp"

namespace skep::verifier {
namespace {

using isa::class_of;
using isa::op_of;

/// Either end may overflow alone, then nothing is known; if both do, the wrapped range still holds.
template <class D, class C>
void add_ranges(D d, C s) {
  typename D::Signed smin{};
  typename D::Signed smax{};
  const bool low = __builtin_add_overflow(d.smin, s.smin, &smin);
  const bool high = __builtin_add_overflow(d.smax, s.smax, &smax);
  if (low || high) {
    d.forget_signed();
  } else {
    d.smin = smin;
    d.smax = smax;
  }
  const bool min_wraps = __builtin_add_overflow(d.umin, s.umin, &d.umin);
  const bool max_wraps = __builtin_add_overflow(d.umax, s.umax, &d.umax);
  if (min_wraps != max_wraps) d.forget_unsigned();
}

template <class D, class C>
void sub_ranges(D d, C s) {
  typename D::Signed smin{};
  typename D::Signed smax{};
  const bool low = __builtin_sub_overflow(d.smin, s.smax, &smin);
  const bool high = __builtin_sub_overflow(d.smax, s.smin, &smax);
  if (low || high) {
    d.forget_signed();
  } else {
    d.smin = smin;
    d.smax = smax;
  }
  const bool min_wraps = __builtin_sub_overflow(d.umin, s.umax, &d.umin);
  const bool max_wraps = __builtin_sub_overflow(d.umax, s.umin, &d.umax);
  if (min_wraps != max_wraps) d.forget_unsigned();
}

template <class D, class C>
void mul_ranges(D d, C s) {
  typename D::Unsigned umin{};
  typename D::Unsigned umax{};
  const bool low = __builtin_mul_overflow(d.umin, s.umin, &umin);
  const bool high = __builtin_mul_overflow(d.umax, s.umax, &umax);
  if (low || high) {
    d.forget_unsigned();
  } else {
    d.umin = umin;
    d.umax = umax;
  }
  typename D::Signed p[4]{};
  bool overflow = __builtin_mul_overflow(d.smin, s.smin, &p[0]);
  overflow = __builtin_mul_overflow(d.smin, s.smax, &p[1]) || overflow;
  overflow = __builtin_mul_overflow(d.smax, s.smin, &p[2]) || overflow;
  overflow = __builtin_mul_overflow(d.smax, s.smax, &p[3]) || overflow;
  if (overflow) {
    d.forget_signed();
  } else {
    d.smin = std::min(std::min(p[0], p[1]), std::min(p[2], p[3]));
    d.smax = std::max(std::max(p[0], p[1]), std::max(p[2], p[3]));
  }
}

/// Ranges of AND, OR, XOR. `result` is the tnum of the result, from which one or both ends come.
template <class D, class C>
void bitwise_ranges(u8 op, D d, C s, Tnum result) {
  using U = typename D::Unsigned;
  const auto value = static_cast<U>(result.value);
  const auto most = static_cast<U>(result.value | result.mask);
  switch (op) {
    case isa::op::AND:
      d.umin = value;
      d.umax = std::min(d.umax, s.umax);
      break;
    case isa::op::OR:
      d.umin = std::max(d.umin, s.umin);
      d.umax = most;
      break;
    default:  // XOR
      d.umin = value;
      d.umax = most;
      break;
  }
  d.signed_from_unsigned();
}

void bitwise(u8 op, Scalar& dst, const Scalar& src) {
  const bool known32_before_src = src.is_const32();
  const bool known_src = src.is_const();
  switch (op) {
    case isa::op::AND:
      dst.var_off = tnum_and(dst.var_off, src.var_off);
      break;
    case isa::op::OR:
      dst.var_off = tnum_or(dst.var_off, src.var_off);
      break;
    default:
      dst.var_off = tnum_xor(dst.var_off, src.var_off);
      break;
  }
  // The kernel asks for a known destination after var_off has become the result's.
  if (known32_before_src && dst.is_const32()) {
    ranges32(dst).set_known(static_cast<u32>(dst.var_off.value));
  } else {
    bitwise_ranges(op, ranges32(dst), ranges32(src), tnum_subreg(dst.var_off));
  }
  if (known_src && dst.is_const()) {
    mark_known(dst, dst.var_off.value);
  } else {
    bitwise_ranges(op, ranges64(dst), ranges64(src), dst.var_off);
    update_bounds(dst);
  }
}

bool shift_count_is_known(const isa::Insn& insn, const Scalar& src) {
  const bool is32 = class_of(insn.code) == isa::op::ALU;
  const bool known = is32 ? src.is_const32() && src.smin32 == src.smax32 && src.umin32 == src.umax32
                          : src.is_const() && src.smin == src.smax && src.umin == src.umax;
  return known && src.umax < (is32 ? 32u : 64u);
}

/// Two known numbers give a known one, whatever the operation; false: an operation that is not done here.
bool alu_of_known(u8 op, bool is32, Scalar& dst, const Scalar& src) {
  if (!is_known_in_step(src) || !is_known_in_step(dst)) return false;
  const u64 a = dst.var_off.value, b = src.var_off.value;
  u64 result = 0;
  switch (op) {
    case isa::op::ADD:
      result = a + b;
      break;
    case isa::op::SUB:
      result = a - b;
      break;
    case isa::op::MUL:
      result = a * b;
      break;
    case isa::op::AND:
      result = a & b;
      break;
    case isa::op::OR:
      result = a | b;
      break;
    case isa::op::XOR:
      result = a ^ b;
      break;
    case isa::op::LSH:
      result = a << b;
      break;
    case isa::op::RSH:
      result = (is32 ? static_cast<u32>(a) : a) >> b;
      break;
    case isa::op::ARSH:
      result = static_cast<u64>((is32 ? s64{static_cast<s32>(a)} : static_cast<s64>(a)) >> b);
      break;
    default:
      return false;
  }
  mark_known(dst, is32 ? static_cast<u32>(result) : result);
  return true;
}

}  // namespace

bool alu_is_computable(const isa::Insn& insn, const Scalar& src) {
  switch (op_of(insn.code)) {
    case isa::op::ADD:
    case isa::op::SUB:
    case isa::op::MUL:
    case isa::op::AND:
    case isa::op::OR:
    case isa::op::XOR:
    case isa::op::NEG:
    case isa::op::END:
      return true;
    case isa::op::LSH:
    case isa::op::RSH:
    case isa::op::ARSH:
      return shift_count_is_known(insn, src);
    default:
      return false;
  }
}

Fork needs_fork(const isa::Insn& insn, const Scalar& dst, const Scalar& src) {
  const u8 op = op_of(insn.code);
  if ((op != isa::op::AND && op != isa::op::OR) || !src.is_const()) return Fork::none;
  if (dst.smin == -1 && dst.smax == 0) return Fork::full;
  if (dst.smin32 == -1 && dst.smax32 == 0) return Fork::low32;
  return Fork::none;
}

void alu(const isa::Insn& insn, Scalar& dst, const Scalar& source) {
  if (!alu_is_computable(insn, source)) {
    dst = Scalar::unknown();
    return;
  }
  const bool is32 = class_of(insn.code) != isa::op::ALU64;
  const u8 op = op_of(insn.code);
  if (alu_of_known(op, is32, dst, source)) return;
  const Scalar src = source;  // may be dst itself
  switch (op) {
    case isa::op::ADD:
      add_ranges(ranges32(dst), ranges32(src));
      add_ranges(ranges64(dst), ranges64(src));
      dst.var_off = tnum_add(dst.var_off, src.var_off);
      break;
    case isa::op::SUB:
      sub_ranges(ranges32(dst), ranges32(src));
      sub_ranges(ranges64(dst), ranges64(src));
      dst.var_off = tnum_sub(dst.var_off, src.var_off);
      break;
    case isa::op::MUL:
      dst.var_off = tnum_mul(dst.var_off, src.var_off);
      mul_ranges(ranges32(dst), ranges32(src));
      mul_ranges(ranges64(dst), ranges64(src));
      break;
    case isa::op::NEG: {
      const Scalar before = dst;
      dst = Scalar::constant(0);
      sub_ranges(ranges32(dst), ranges32(before));
      sub_ranges(ranges64(dst), ranges64(before));
      dst.var_off = tnum_neg(before.var_off);
      break;
    }
    case isa::op::LSH:
    case isa::op::RSH:
    case isa::op::ARSH:
      shift(op, is32, dst, src);
      break;
    case isa::op::END:
      byte_swap(insn, dst);
      break;
    default:
      bitwise(op, dst, src);
      break;
  }
  // END has already truncated what is to be truncated; le64 and be64 are of class ALU but 64 bits wide.
  if (is32 && op != isa::op::END) zext_32_to_64(dst);
  sync_bounds(dst);
}

}  // namespace skep::verifier
