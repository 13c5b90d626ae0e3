// The kernel's clocks as helpers count them.
#pragma once
#include <time.h>

#include "base/types.hpp"

namespace skep::helpers {

inline constexpr u64 ticks_per_second = 250;  ///< CONFIG_HZ of the kernel that skep is like

inline u64 clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

/// Ticks since boot: they begin five minutes before their 32-bit wrap.
inline u64 jiffies_now() {
  constexpr u64 initial = u64{UINT32_MAX} + 1 - 300 * ticks_per_second;
  return initial + clock_ns(CLOCK_MONOTONIC_COARSE) / (1'000'000'000u / ticks_per_second);
}
/// Rounded up, as msecs_to_jiffies() does.
inline u64 ms_to_jiffies(u64 ms) { return (ms * ticks_per_second + 999) / 1000; }

}  // namespace skep::helpers
