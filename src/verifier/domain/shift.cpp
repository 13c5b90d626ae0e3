// Shifts of scalars by a known count. A 64-bit shift moves bits across the middle, so the 32-bit ranges are
// mostly given up and won back from the tnum (kernel: scalar_min_max_lsh() and its siblings).
#include "verifier/domain/alu.hpp"
#include "verifier/domain/ranges.hpp"

namespace skep::verifier {
namespace {

/// Unsigned range of a left shift: unknown once the top bit could be shifted out.
template <class D>
void lsh_unsigned(D d, u64 min_count, u64 max_count) {
  using U = typename D::Unsigned;
  constexpr u64 top = sizeof(U) * 8 - 1;
  if (max_count > top || d.umax > u64{1} << (top - max_count)) {
    d.forget_unsigned();
  } else {
    d.umin = static_cast<U>(d.umin << min_count);
    d.umax = static_cast<U>(d.umax << max_count);
  }
}

void lsh32(Scalar& dst, u32 count) {
  ranges32(dst).forget_signed();
  lsh_unsigned(ranges32(dst), count, count);
  dst.var_off = tnum_subreg(tnum_lshift(tnum_subreg(dst.var_off), count));
  forget_ranges64(dst);
  update_bounds32(dst);
}

void lsh64(Scalar& dst, u32 count) {
  // `<<= 32; s>>= 32` is how compilers sign-extend: the signed range of the low half survives.
  if (count == 32) {
    dst.smin = static_cast<s64>(static_cast<u64>(dst.smin32) << 32);
    dst.smax = static_cast<s64>(static_cast<u64>(dst.smax32) << 32);
  } else {
    ranges64(dst).forget_signed();
  }
  lsh_unsigned(ranges64(dst), count, count);
  ranges32(dst).forget_signed();
  lsh_unsigned(ranges32(dst), count, count);
  dst.var_off = tnum_lshift(dst.var_off, count);
  update_bounds(dst);
}

void rsh32(Scalar& dst, u32 count) {
  ranges32(dst).forget_signed();
  dst.var_off = tnum_rshift(tnum_subreg(dst.var_off), count);
  dst.umin32 >>= count;
  dst.umax32 >>= count;
  forget_ranges64(dst);
  update_bounds32(dst);
}

void rsh64(Scalar& dst, u32 count) {
  ranges64(dst).forget_signed();
  dst.var_off = tnum_rshift(dst.var_off, count);
  dst.umin >>= count;
  dst.umax >>= count;
  forget_ranges32(dst);
  update_bounds(dst);
}

void arsh32(Scalar& dst, u32 count) {
  dst.smin32 >>= count;
  dst.smax32 >>= count;
  dst.var_off = tnum_arshift(tnum_subreg(dst.var_off), count, 32);
  ranges32(dst).forget_unsigned();
  forget_ranges64(dst);
  update_bounds32(dst);
}

void arsh64(Scalar& dst, u32 count) {
  dst.smin >>= count;
  dst.smax >>= count;
  dst.var_off = tnum_arshift(dst.var_off, count, 64);
  ranges64(dst).forget_unsigned();
  forget_ranges32(dst);
  update_bounds(dst);
}

}  // namespace

void shift(u8 op, bool is32, Scalar& dst, const Scalar& src) {
  const u32 count = is32 ? src.umin32 : static_cast<u32>(src.umin);
  switch (op) {
    case isa::op::LSH:
      return is32 ? lsh32(dst, count) : lsh64(dst, count);
    case isa::op::RSH:
      return is32 ? rsh32(dst, count) : rsh64(dst, count);
    default:
      return is32 ? arsh32(dst, count) : arsh64(dst, count);
  }
}

}  // namespace skep::verifier
