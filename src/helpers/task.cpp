// Helpers about time, chance and the CPU (kernel/bpf/helpers.c, core.c).
#include <time.h>

#include <array>

#include "helpers/families.hpp"

namespace skep::helpers {
namespace {

u64 clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

u64 ktime_get_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_MONOTONIC); }
u64 ktime_get_boot_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_BOOTTIME); }
u64 ktime_get_coarse_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_MONOTONIC_COARSE); }
u64 ktime_get_tai_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_TAI); }

u64 get_smp_processor_id(u64, u64, u64, u64, u64, RunContext* run) { return run->cpu; }

/// xorshift64*: fast and well spread, as little fit for secrets as the kernel's.
u64 get_prandom_u32(u64, u64, u64, u64, u64, RunContext* run) {
  u64 x = run->prandom_state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  run->prandom_state = x;
  return x * 0x2545f4914f6cdd1d >> 32;
}

constexpr std::array<HelperRow, 6> rows = {{
    {{.id = 5, .name = "ktime_get_ns"}, ktime_get_ns},
    {{.id = 7, .name = "get_prandom_u32"}, get_prandom_u32},
    {{.id = 8, .name = "get_smp_processor_id", .fastcall = true}, get_smp_processor_id},
    {{.id = 125, .name = "ktime_get_boot_ns"}, ktime_get_boot_ns},
    {{.id = 160, .name = "ktime_get_coarse_ns"}, ktime_get_coarse_ns},
    {{.id = 208, .name = "ktime_get_tai_ns"}, ktime_get_tai_ns},
}};

}  // namespace

std::span<const HelperRow> task_family() { return rows; }

}  // namespace skep::helpers
