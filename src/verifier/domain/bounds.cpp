// How the five facts of a scalar learn from each other, and truncation and extension of whole registers.
// One template serves the 64-bit and the 32-bit ranges. The order of the steps is the kernel's
// (kernel/bpf/verifier.c, reg_bounds_sync()): intermediate results show in printed states.
#include <fmt/format.h>

#include <algorithm>

#include "verifier/domain/ranges.hpp"

namespace skep::verifier {
namespace {

constexpr u64 low_half = 0xffffffff;
constexpr u64 with_low(u64 high, u32 low) { return (high & ~low_half) | low; }

/// Signed from unsigned and back, within one width (kernel: __reg64_deduce_bounds and the end of
/// __reg32_deduce_bounds).
template <class S, class U>
void exchange_signs(Ranges<S, U> r) {
  if (static_cast<S>(r.umin) <= static_cast<S>(r.umax)) {
    r.smin = std::max(r.smin, static_cast<S>(r.umin));
    r.smax = std::min(r.smax, static_cast<S>(r.umax));
  }
  if (static_cast<U>(r.smin) <= static_cast<U>(r.smax)) {
    r.umin = std::max(r.umin, static_cast<U>(r.smin));
    r.umax = std::min(r.umax, static_cast<U>(r.smax));
  } else if (r.umax < static_cast<U>(r.smin)) {
    // The signed range wraps round in unsigned order, and the unsigned one meets only its positive part ...
    r.smin = static_cast<S>(r.umin);
    r.umax = std::min(r.umax, static_cast<U>(r.smax));
  } else if (static_cast<U>(r.smax) < r.umin) {
    // ... or only its negative part.
    r.smax = static_cast<S>(r.umax);
    r.umin = std::max(r.umin, static_cast<U>(r.smin));
  }
}

void narrow_unsigned32(Scalar& r, u64 min, u64 max) {
  r.umin32 = std::max(r.umin32, static_cast<u32>(min));
  r.umax32 = std::min(r.umax32, static_cast<u32>(max));
}
void narrow_signed32(Scalar& r, u64 min, u64 max) {
  r.smin32 = std::max(r.smin32, static_cast<s32>(min));
  r.smax32 = std::min(r.smax32, static_cast<s32>(max));
}

/// The low halves of min..max go from negative to non-negative while the upper half steps up by one: together
/// they are one signed 32-bit range.
constexpr bool crosses_zero_once(u64 min, u64 max) {
  return static_cast<u32>(min >> 32) + 1 == static_cast<u32>(max >> 32) && static_cast<s32>(min) < 0 &&
         static_cast<s32>(max) >= 0;
}

/// 32-bit ranges from the 64-bit ones, where these do not cross a 2^32 boundary.
void deduce_32_from_64(Scalar& r) {
  if ((r.umin >> 32) == (r.umax >> 32)) {
    const u64 min = r.umin;
    const u64 max = r.umax;
    narrow_unsigned32(r, min, max);
    if (static_cast<s32>(min) <= static_cast<s32>(max)) narrow_signed32(r, min, max);
  }
  const u64 smin = static_cast<u64>(r.smin);
  const u64 smax = static_cast<u64>(r.smax);
  if ((smin >> 32) == (smax >> 32)) {
    if (static_cast<u32>(smin) <= static_cast<u32>(smax)) narrow_unsigned32(r, smin, smax);
    if (static_cast<s32>(smin) <= static_cast<s32>(smax)) narrow_signed32(r, smin, smax);
  }
  if (crosses_zero_once(r.umin, r.umax)) narrow_signed32(r, r.umin, r.umax);
  if (crosses_zero_once(smin, smax)) narrow_signed32(r, smin, smax);
}

/// Puts a 32-bit range under the upper halves of the 64-bit ones and keeps what is tighter.
void tighten_64(Scalar& r, u32 min32, u32 max32) {
  r.umin = std::max(r.umin, with_low(r.umin, min32));
  r.umax = std::min(r.umax, with_low(r.umax, max32));
  r.smin = std::max(r.smin, static_cast<s64>(with_low(static_cast<u64>(r.smin), min32)));
  r.smax = std::min(r.smax, static_cast<s64>(with_low(static_cast<u64>(r.smax), max32)));
}

/// 64-bit ranges from the 32-bit ones (kernel: __reg_deduce_mixed_bounds).
void deduce_64_from_32(Scalar& r) {
  tighten_64(r, r.umin32, r.umax32);
  const auto min32 = static_cast<u32>(r.smin32);
  const auto max32 = static_cast<u32>(r.smax32);
  if (min32 <= max32) tighten_64(r, min32, max32);
  // A sign-extended value whose low half is not negative has an upper half of zeros.
  if (r.smin32 >= 0 && r.smin >= INT32_MIN && r.smax <= INT32_MAX) {
    r.smin = r.smin32;
    r.smax = r.smax32;
    r.umin = static_cast<u64>(r.smin32);
    r.umax = static_cast<u64>(r.smax32);
    r.var_off = tnum_intersect(r.var_off, tnum_range(r.umin, r.umax));
  }
}

void deduce(Scalar& r) {
  deduce_32_from_64(r);
  exchange_signs(ranges32(r));
  exchange_signs(ranges64(r));
  deduce_64_from_32(r);
}

/// var_off learns from the unsigned ranges (kernel: __reg_bound_offset).
void bound_offset(Scalar& r) {
  const Tnum whole = tnum_intersect(r.var_off, tnum_range(r.umin, r.umax));
  const Tnum low = tnum_intersect(tnum_subreg(whole), tnum_range(r.umin32, r.umax32));
  r.var_off = tnum_or(tnum_clear_subreg(whole), low);
}

/// If only one number of the tnum lies in the unsigned range, that is it (kernel: end of
/// __update_reg64_bounds, in the 6.18 stable branch).
void single_value(Scalar& r) {
  // Where only low bits are unknown, every number between the ends is one of the tnum's, and learn() has
  // just cut the ends to those of the tnum.
  if ((r.var_off.mask & (r.var_off.mask + 1)) == 0 && r.umin < r.umax && r.umin >= r.var_off.value &&
      r.umax <= (r.var_off.value | r.var_off.mask))
    return;
  const u64 next = tnum_step(r.var_off, r.umin);
  const u64 most = r.var_off.value | r.var_off.mask;
  if (r.var_off.contains(r.umin)) {
    if (next > r.umax) mark_known(r, r.umin);
  } else if (next == most) {
    mark_known(r, most);
  } else if (next <= r.umax && tnum_step(r.var_off, next) > r.umax) {
    mark_known(r, next);
  }
}

}  // namespace

Scalar Scalar::of_size(u32 bytes) {
  Scalar r;
  if (bytes < 8) coerce_to_size(r, bytes);
  return r;
}

Scalar Scalar::in_range(s64 min, s64 max) {
  Scalar r;
  r.smin = min;
  r.smax = max;
  sync_bounds(r);
  return r;
}

bool Scalar::contains(u64 v) const {
  const auto s = static_cast<s64>(v);
  const auto low = static_cast<u32>(v);
  const auto slow = static_cast<s32>(low);
  return var_off.contains(v) && smin <= s && s <= smax && umin <= v && v <= umax && smin32 <= slow &&
         slow <= smax32 && umin32 <= low && low <= umax32;
}

void forget_ranges64(Scalar& r) { ranges64(r).forget(); }
void forget_ranges32(Scalar& r) { ranges32(r).forget(); }
void forget_ranges(Scalar& r) {
  forget_ranges64(r);
  forget_ranges32(r);
}

void mark_known32(Scalar& r, u32 value) {
  r.var_off = tnum_with_subreg(r.var_off, tnum_const(value));
  ranges32(r).set_known(value);
}

void update_bounds32(Scalar& r) { ranges32(r).learn(tnum_subreg(r.var_off)); }
void update_bounds(Scalar& r) {
  ranges32(r).learn(tnum_subreg(r.var_off));
  ranges64(r).learn(r.var_off);
  single_value(r);
}

/// Any number of so many bytes, in step: what sync_bounds() makes of it (domain tests say so).
constexpr Scalar any_of_size(u32 bytes) {
  const u64 most = (u64{1} << (bytes * 8)) - 1;
  if (bytes == 4) return {{0, most}, 0, static_cast<s64>(most), 0, most};
  const auto most32 = static_cast<u32>(most);
  return {{0, most}, 0, static_cast<s64>(most), 0, most, 0, static_cast<s32>(most32), 0, most32};
}

/// The rounds of deduction and bound_offset() where the unsigned ranges lie below 2^31 and the signed ones
/// add nothing that the order of the steps could lose: all ends move together, to the narrowest of each.
/// False, and nothing is changed, if it is not so plain, or contradictory (domain tests compare with the
/// rounds).
bool deduce_small(Scalar& r) {
  constexpr u64 most_small = INT32_MAX;
  const auto smin = static_cast<u64>(r.smin), smax = static_cast<u64>(r.smax);
  const bool plain =
      r.umin <= r.umax && r.umax <= most_small &&
      ((smin | smax) <= most_small || (r.smin <= static_cast<s64>(r.umin) && r.smax >= INT32_MAX));
  if (!plain) return false;
  const s64 min = std::max({static_cast<s64>(r.umin), r.smin, s64{r.umin32}, s64{r.smin32}});
  const s64 max = std::min({static_cast<s64>(r.umax), r.smax, s64{r.umax32}, s64{r.smax32}});
  if (min > max) return false;
  const Tnum range = tnum_range(static_cast<u64>(min), static_cast<u64>(max));
  if (!tnum_overlap(r.var_off, range)) return false;
  r.var_off = tnum_intersect(r.var_off, range);
  r.smin = min;
  r.smax = max;
  r.umin = static_cast<u64>(min);
  r.umax = static_cast<u64>(max);
  r.smin32 = static_cast<s32>(min);
  r.smax32 = static_cast<s32>(max);
  r.umin32 = static_cast<u32>(min);
  r.umax32 = static_cast<u32>(max);
  return true;
}

/// Three rounds, as the kernel has. A round is a function of the scalar alone: once one has changed nothing,
/// the next would not, either.
void deduce_in_rounds(Scalar& r) {
  for (u32 round = 0; round < 3; ++round) {
    const Scalar before = r;
    deduce(r);
    if (r == before) break;
  }
  bound_offset(r);
}

void sync_by_rounds(Scalar& r) {
  update_bounds(r);
  deduce_in_rounds(r);
  update_bounds(r);
}

void sync_fully(Scalar& r) {
  update_bounds(r);
  const Tnum learnt = r.var_off;
  if (!deduce_small(r)) {
    deduce_in_rounds(r);
  } else if (r.var_off == learnt) {  // which only narrows: what was learnt from var_off holds
    return single_value(r);
  }
  update_bounds(r);
}

/// A small range of which var_off says no more than where it ends: each step of sync_fully() leaves it as it
/// is. What a comparison taught nothing of is often one.
bool is_small_in_step(const Scalar& r) {
  const u64 min = r.umin, max = r.umax;
  if (min >= max || max > INT32_MAX) return false;
  const bool together = r.smin == static_cast<s64>(min) && r.smax == static_cast<s64>(max) &&
                        r.smin32 == static_cast<s32>(min) && r.smax32 == static_cast<s32>(max) &&
                        r.umin32 == min && r.umax32 == max;
  const Tnum t = r.var_off;
  return together && (t.mask & (t.mask + 1)) == 0 && t.value <= min && (t.value | t.mask) >= max &&
         tnum_in(tnum_range(min, max), t);
}

/// Known numbers, and those of which nothing or only the width is known, are left as they are: sync_fully()
/// would find nothing (the domain's tests say so). Most scalars are one of these.
void sync_bounds(Scalar& r) {
  if (is_known_in_step(r)) return;
  if (r.var_off == tnum_unknown && r == Scalar::unknown()) return;
  if (r.var_off == tnum_cast(tnum_unknown, 4) && r == any_of_size(4)) return;
  if (is_small_in_step(r)) return;
  sync_fully(r);
}

void zext_32_to_64(Scalar& r) {
  r.var_off = tnum_subreg(r.var_off);
  r.umin = r.umin32;
  r.umax = r.umax32;
  const bool not_negative = r.smin32 >= 0 && r.smax32 >= 0;
  r.smin = not_negative ? r.smin32 : 0;
  r.smax = not_negative ? r.smax32 : s64{UINT32_MAX};
}

void coerce_to_size(Scalar& r, u32 bytes) {
  if (bytes <= 4 && r == Scalar::unknown()) {  // a load from memory of which nothing is known
    r = any_of_size(bytes);
    return;
  }
  const u64 mask = (u64{1} << (bytes * 8)) - 1;
  r.var_off = tnum_cast(r.var_off, bytes);
  if ((r.umin & ~mask) == (r.umax & ~mask)) {
    r.umin &= mask;
    r.umax &= mask;
  } else {
    r.umin = 0;
    r.umax = mask;
  }
  r.smin = static_cast<s64>(r.umin);
  r.smax = static_cast<s64>(r.umax);
  if (bytes < 4) forget_ranges32(r);
  sync_bounds(r);
}

const char* bounds_violation(const Scalar& r) {
  if (r.umin > r.umax || r.smin > r.smax || r.umin32 > r.umax32 || r.smin32 > r.smax32) {
    return "range bounds violation";
  }
  if (r.is_const()) {
    const u64 v = r.var_off.value;
    const auto s = static_cast<s64>(v);
    if (r.umin != v || r.umax != v || r.smin != s || r.smax != s) {
      return "const tnum out of sync with range bounds";
    }
  }
  if (r.is_const32()) {
    const auto v = static_cast<u32>(r.var_off.value);
    const auto s = static_cast<s32>(v);
    if (r.umin32 != v || r.umax32 != v || r.smin32 != s || r.smax32 != s) {
      return "const subreg tnum out of sync with range bounds";
    }
  }
  return nullptr;
}

std::string bounds_violation_text(const Scalar& r, std::string_view where) {
  const char* what = bounds_violation(r);
  return fmt::format(
      "verifier bug: REG INVARIANTS VIOLATION ({}): {} u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, "
      "{:#x}] "
      "s32=[{:#x}, {:#x}] var_off=({:#x}, {:#x})\n",
      where, what == nullptr ? "" : what, r.umin, r.umax, static_cast<u64>(r.smin), static_cast<u64>(r.smax),
      r.umin32, r.umax32, static_cast<u32>(r.smin32), static_cast<u32>(r.smax32), r.var_off.value,
      r.var_off.mask);
}

}  // namespace skep::verifier
