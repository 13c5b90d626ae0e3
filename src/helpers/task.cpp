// Helpers about time, chance, the CPU and the task (kernel/bpf/helpers.c, core.c).
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

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

/// Ticks since boot, counted as on kernels of 250 Hz: they begin five minutes before their 32-bit wrap.
u64 jiffies64(u64, u64, u64, u64, u64, RunContext*) {
  constexpr u64 ticks_per_second = 250;
  constexpr u64 initial = u64{UINT32_MAX} + 1 - 300 * ticks_per_second;
  return initial + clock_ns(CLOCK_MONOTONIC_COARSE) / (1'000'000'000u / ticks_per_second);
}

/// Of the processor that the thread runs on.
u64 get_numa_node_id(u64, u64, u64, u64, u64, RunContext*) {
  unsigned cpu = 0, node = 0;
  return ::getcpu(&cpu, &node) == 0 ? node : 0;
}

// The current task of a program is the thread that runs it: a worker, or whoever asked for a test run.

u64 get_current_pid_tgid(u64, u64, u64, u64, u64, RunContext*) {
  return static_cast<u64>(::getpid()) << 32 | static_cast<u32>(::gettid());
}
u64 get_current_uid_gid(u64, u64, u64, u64, u64, RunContext*) { return u64{::getgid()} << 32 | ::getuid(); }

/// Fills all `size` bytes: the name, cut to end with a NUL, and zeroes.
u64 get_current_comm(u64 to, u64 size64, u64, u64, u64, RunContext*) {
  const u32 size = static_cast<u32>(size64);
  std::array<char, 16> name{};
  ::prctl(PR_GET_NAME, name.data());
  char* out = pointer<char>(to);
  std::memset(out, 0, size);
  std::memcpy(out, name.data(), std::min<std::size_t>(size - 1, ::strnlen(name.data(), name.size() - 1)));
  return 0;
}

/// Fixups make an instruction of its own of every call.
u64 tail_call(u64, u64, u64, u64, u64, RunContext*) { return static_cast<u64>(-s64{EOPNOTSUPP}); }

constexpr HelperRow rows[] = {
    {5, ktime_get_ns},        {7, get_prandom_u32},       {8, get_smp_processor_id},
    {12, tail_call},          {14, get_current_pid_tgid}, {15, get_current_uid_gid},
    {16, get_current_comm},   {42, get_numa_node_id},     {118, jiffies64},
    {125, ktime_get_boot_ns}, {160, ktime_get_coarse_ns}, {208, ktime_get_tai_ns},
};

}  // namespace

std::span<const HelperRow> task_family() { return rows; }

}  // namespace skep::helpers
