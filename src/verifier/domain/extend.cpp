// Moves, sign extension and byte swaps of scalars (kernel: check_alu_op()'s MOV part,
// coerce_reg_to_size_sx(), coerce_subreg_to_size_sx(), scalar_byte_swap()).
#include "verifier/domain/alu.hpp"
#include "verifier/domain/ranges.hpp"

namespace skep::verifier {
namespace {

/// `v`'s low `bytes` bytes, sign-extended.
constexpr s64 sign_extend(u64 v, u32 bytes) {
  const u32 up = 64 - bytes * 8;
  return static_cast<s64>(v << up) >> up;
}

/// If the bits above the low `bytes` bytes are the same at both ends, and the ends have the same sign after
/// the extension: those ends, in order. The result is in `lo` and `hi`.
template <class S>
bool extended_ends(S smin, S smax, u32 bytes, s64& lo, s64& hi) {
  const u32 bits = bytes * 8;
  using U = std::make_unsigned_t<S>;
  const auto above = [bits](S v) { return bits >= sizeof(S) * 8 ? U{0} : static_cast<U>(v) >> bits; };
  if (above(smin) != above(smax)) return false;
  const s64 a = sign_extend(static_cast<u64>(smin), bytes);
  const s64 b = sign_extend(static_cast<u64>(smax), bytes);
  lo = std::min(a, b);
  hi = std::max(a, b);
  return (lo >= 0) == (hi >= 0);
}

constexpr s64 type_min(u32 bytes) { return -(s64{1} << (bytes * 8 - 1)); }
constexpr s64 type_max(u32 bytes) { return (s64{1} << (bytes * 8 - 1)) - 1; }

}  // namespace

void coerce_to_size_sx(Scalar& r, u32 bytes) {
  if (r.is_const()) {
    mark_known(r, static_cast<u64>(sign_extend(r.var_off.value, bytes)));
    return;
  }
  s64 lo = 0;
  s64 hi = 0;
  if (extended_ends(r.smin, r.smax, bytes, lo, hi)) {
    r.smin = lo;
    r.smax = hi;
    r.umin = static_cast<u64>(lo);
    r.umax = static_cast<u64>(hi);
    r.smin32 = static_cast<s32>(lo);
    r.smax32 = static_cast<s32>(hi);
    r.umin32 = static_cast<u32>(lo);
    r.umax32 = static_cast<u32>(hi);
    r.var_off = tnum_range(r.umin, r.umax);
    return;
  }
  r.smin = type_min(bytes);
  r.smax = type_max(bytes);
  r.smin32 = static_cast<s32>(r.smin);
  r.smax32 = static_cast<s32>(r.smax);
  ranges64(r).forget_unsigned();
  ranges32(r).forget_unsigned();
  r.var_off = tnum_unknown;
}

void coerce_subreg_to_size_sx(Scalar& r, u32 bytes) {
  if (r.is_const()) {
    const s64 v = sign_extend(r.var_off.value, bytes);
    r.var_off = tnum_const(static_cast<u64>(v));
    ranges32(r).set_known(static_cast<u32>(v));
    return;
  }
  s64 lo = 0;
  s64 hi = 0;
  if (extended_ends(r.smin32, r.smax32, bytes, lo, hi)) {
    r.smin32 = static_cast<s32>(lo);
    r.smax32 = static_cast<s32>(hi);
    r.umin32 = static_cast<u32>(lo);
    r.umax32 = static_cast<u32>(hi);
    r.var_off = tnum_subreg(tnum_range(static_cast<u64>(lo), static_cast<u64>(hi)));
    return;
  }
  r.smin32 = static_cast<s32>(type_min(bytes));
  r.smax32 = static_cast<s32>(type_max(bytes));
  ranges32(r).forget_unsigned();
  r.var_off = tnum_subreg(tnum_unknown);
}

Scalar mov(const isa::Insn& insn, const Scalar& src) {
  Scalar r = src;
  const auto bytes = static_cast<u32>(insn.off) / 8;
  if (isa::class_of(insn.code) == isa::op::ALU64) {
    if (bytes != 0) coerce_to_size_sx(r, bytes);
    return r;
  }
  if (bytes != 0) coerce_subreg_to_size_sx(r, bytes);
  zext_32_to_64(r);
  sync_bounds(r);
  return r;
}

void byte_swap(const isa::Insn& insn, Scalar& dst) {
  const auto bytes = static_cast<u32>(insn.imm) / 8;
  // On a little-endian machine to_le only truncates; to_be and the unconditional swap (class ALU64) reverse.
  const bool swaps = isa::class_of(insn.code) == isa::op::ALU64 || isa::is_reg_source(insn.code);
  if (swaps) {
    dst.var_off = tnum_bswap(dst.var_off, bytes);
    forget_ranges(dst);
  }
  if (bytes < 8) coerce_to_size(dst, bytes);
}

}  // namespace skep::verifier
