// Tracked numbers ("tnums"): for each of 64 bits, known 0, known 1, or unknown. The domain in which the
// verifier follows single bits (kernel: kernel/bpf/tnum.c; Vishwanathan et al., "Sound, Precise, and Fast
// Abstract Interpretation with Tristate Numbers", CGO 2022). Pure values; every operator is sound: if a is in
// A and b is in B then op(a, b) is in OP(A, B). Relies on nothing.
#pragma once
#include <bit>

#include "base/types.hpp"

namespace skep::verifier {

/// A bit set in `mask` is unknown; elsewhere `value` has it. A bit is never set in both, except in the
/// "impossible" results of intersections that contradict each other.
struct Tnum {
  u64 value = 0;
  u64 mask = 0;

  bool operator==(const Tnum&) const = default;
  [[nodiscard]] constexpr bool is_const() const { return mask == 0; }
  [[nodiscard]] constexpr bool is_unknown() const { return mask == ~u64{0}; }
  [[nodiscard]] constexpr bool equals(u64 v) const { return mask == 0 && value == v; }
  /// The concrete number is one of those the tnum stands for.
  [[nodiscard]] constexpr bool contains(u64 v) const { return (v & ~mask) == value; }
};

inline constexpr Tnum tnum_unknown{0, ~u64{0}};
constexpr Tnum tnum_const(u64 value) { return {value, 0}; }

/// The smallest tnum that contains all of min..max: what they have in common at the top.
constexpr Tnum tnum_range(u64 min, u64 max) {
  const u64 differing = min ^ max;
  const int low_bits = 64 - std::countl_zero(differing);
  if (low_bits == 64) return tnum_unknown;
  const u64 mask = (u64{1} << low_bits) - 1;
  return {min & ~mask, mask};
}

// Shifts by a known count below 64.
constexpr Tnum tnum_lshift(Tnum a, u32 shift) { return {a.value << shift, a.mask << shift}; }
constexpr Tnum tnum_rshift(Tnum a, u32 shift) { return {a.value >> shift, a.mask >> shift}; }
/// Arithmetic shift of the low `bits` (32 or 64) bits; with 32 the result is zero-extended.
constexpr Tnum tnum_arshift(Tnum a, u32 shift, u32 bits) {
  if (bits == 32) {
    return {static_cast<u32>(static_cast<s32>(a.value) >> shift),
            static_cast<u32>(static_cast<s32>(a.mask) >> shift)};
  }
  return {static_cast<u64>(static_cast<s64>(a.value) >> shift),
          static_cast<u64>(static_cast<s64>(a.mask) >> shift)};
}

/// A bit of the sum is unknown if it is unknown in an operand, or if the carry into it is: the carries of
/// the smallest and of the largest sum differ there.
constexpr Tnum tnum_add(Tnum a, Tnum b) {
  const u64 smallest = a.value + b.value;
  const u64 largest = smallest + a.mask + b.mask;
  const u64 unknown = (smallest ^ largest) | a.mask | b.mask;
  return {smallest & ~unknown, unknown};
}
constexpr Tnum tnum_sub(Tnum a, Tnum b) {
  const u64 base = a.value - b.value;
  const u64 unknown = ((base + a.mask) ^ (base - b.mask)) | a.mask | b.mask;
  return {base & ~unknown, unknown};
}
constexpr Tnum tnum_neg(Tnum a) { return tnum_sub(tnum_const(0), a); }

constexpr Tnum tnum_and(Tnum a, Tnum b) {
  const u64 ones = a.value & b.value;
  const u64 may_be_one = (a.value | a.mask) & (b.value | b.mask);
  return {ones, may_be_one & ~ones};
}
constexpr Tnum tnum_or(Tnum a, Tnum b) {
  const u64 ones = a.value | b.value;
  return {ones, (a.mask | b.mask) & ~ones};
}
constexpr Tnum tnum_xor(Tnum a, Tnum b) {
  const u64 unknown = a.mask | b.mask;
  return {(a.value ^ b.value) & ~unknown, unknown};
}

/// What is known of a number that is in `a` or in `b`.
constexpr Tnum tnum_union(Tnum a, Tnum b) {
  const u64 unknown = (a.value ^ b.value) | a.mask | b.mask;
  return {a.value & b.value & ~unknown, unknown};
}
/// What is known of a number that is in `a` and in `b`. Where they contradict each other the bit comes out 1.
constexpr Tnum tnum_intersect(Tnum a, Tnum b) {
  const u64 unknown = a.mask & b.mask;
  return {(a.value | b.value) & ~unknown, unknown};
}

/// Long multiplication; for an unknown bit of the multiplier the accumulator becomes the union of both
/// outcomes (the algorithm since 6.18; neither exact nor symmetric).
constexpr Tnum tnum_mul(Tnum a, Tnum b) {
  Tnum sum = tnum_const(0);
  for (; (a.value | a.mask) != 0; a = tnum_rshift(a, 1), b = tnum_lshift(b, 1)) {
    if ((a.value & 1) != 0) {
      sum = tnum_add(sum, b);
    } else if ((a.mask & 1) != 0) {
      sum = tnum_union(sum, tnum_add(sum, b));
    }
  }
  return sum;
}

/// Some number is in both.
constexpr bool tnum_overlap(Tnum a, Tnum b) { return ((a.value ^ b.value) & ~a.mask & ~b.mask) == 0; }
/// Every number of `b` is in `a`.
constexpr bool tnum_in(Tnum a, Tnum b) { return (b.mask & ~a.mask) == 0 && (b.value & ~a.mask) == a.value; }

/// The smallest number of `t` above `v`; the largest number of `t` if there is none.
constexpr u64 tnum_step(Tnum t, u64 v) {
  const u64 most = t.value | t.mask;
  if (v >= most) return most;
  if (v < t.value) return t.value;
  // Count up in the unknown bits alone: known bits are filled with ones so that carries run through them, as
  // are the bits below the highest known bit in which v is ahead.
  const u64 distance = v - t.value;
  const int ahead = 64 - std::countl_zero(distance & ~t.mask);
  const u64 below = ahead == 64 ? ~u64{0} : (u64{1} << ahead) - 1;
  return t.value | (((distance | below | ~t.mask) + 1) & t.mask);
}

/// The low `bytes` (1..8) bytes, zero-extended.
constexpr Tnum tnum_cast(Tnum a, u32 bytes) {
  const u64 keep = bytes >= 8 ? ~u64{0} : (u64{1} << (bytes * 8)) - 1;
  return {a.value & keep, a.mask & keep};
}
constexpr Tnum tnum_subreg(Tnum a) { return tnum_cast(a, 4); }
constexpr Tnum tnum_clear_subreg(Tnum a) { return {a.value & ~u64{0xffffffff}, a.mask & ~u64{0xffffffff}}; }
/// `a` with its low half replaced by that of `low`.
constexpr Tnum tnum_with_subreg(Tnum a, Tnum low) { return tnum_or(tnum_clear_subreg(a), tnum_subreg(low)); }
constexpr bool tnum_subreg_is_const(Tnum a) { return (a.mask & 0xffffffff) == 0; }
/// Known to be a multiple of `size`, a power of two; 0 counts as aligned to anything.
constexpr bool tnum_is_aligned(Tnum a, u64 size) {
  return size == 0 || ((a.value | a.mask) & (size - 1)) == 0;
}

/// The low `bytes` (2, 4 or 8) bytes in reverse order, zero-extended.
constexpr Tnum tnum_bswap(Tnum a, u32 bytes) {
  const u32 shift = 64 - bytes * 8;
  return {__builtin_bswap64(a.value) >> shift, __builtin_bswap64(a.mask) >> shift};
}

}  // namespace skep::verifier
