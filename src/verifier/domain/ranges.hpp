// The signed and unsigned range of one width of a Scalar, by reference: lets the arithmetic be written once
// for 64 and 32 bits. Inside the domain only.
#pragma once
#include <algorithm>
#include <limits>

#include "verifier/domain/scalar.hpp"

namespace skep::verifier {

template <class S, class U>
struct Ranges {
  using Signed = S;
  using Unsigned = U;
  S& smin;
  S& smax;
  U& umin;
  U& umax;

  void forget_signed() const {
    smin = std::numeric_limits<S>::min();
    smax = std::numeric_limits<S>::max();
  }
  void forget_unsigned() const {
    umin = 0;
    umax = std::numeric_limits<U>::max();
  }
  void forget() const {
    forget_signed();
    forget_unsigned();
  }
  void set_known(U value) const {
    smin = smax = static_cast<S>(value);
    umin = umax = value;
  }
  /// The signed range is the unsigned one, if that does not cross the sign boundary; else it is unknown.
  void signed_from_unsigned() const {
    if (static_cast<S>(umin) <= static_cast<S>(umax)) {
      smin = static_cast<S>(umin);
      smax = static_cast<S>(umax);
    } else {
      forget_signed();
    }
  }
  /// Narrows by what the tnum's known bits say; its smallest signed number has the sign bit set if it may.
  void learn(Tnum t) const {
    const auto value = static_cast<U>(t.value);
    const auto mask = static_cast<U>(t.mask);
    constexpr U sign = U{1} << (sizeof(U) * 8 - 1);
    smin = std::max(smin, static_cast<S>(value | (mask & sign)));
    smax = std::min(smax, static_cast<S>(value | (mask & ~sign)));
    umin = std::max(umin, value);
    umax = std::min(umax, static_cast<U>(value | mask));
  }
};

inline Ranges<s64, u64> ranges64(Scalar& r) { return {r.smin, r.smax, r.umin, r.umax}; }
inline Ranges<s32, u32> ranges32(Scalar& r) { return {r.smin32, r.smax32, r.umin32, r.umax32}; }
inline Ranges<const s64, const u64> ranges64(const Scalar& r) { return {r.smin, r.smax, r.umin, r.umax}; }
inline Ranges<const s32, const u32> ranges32(const Scalar& r) {
  return {r.smin32, r.smax32, r.umin32, r.umax32};
}

void update_bounds32(Scalar& r);
/// sync_bounds() without its short ways.
void sync_by_rounds(Scalar& r);

}  // namespace skep::verifier
