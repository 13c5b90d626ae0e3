// Helpers about time, chance, the CPU and the task (kernel/bpf/helpers.c, core.c).
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "helpers/clock.hpp"
#include "helpers/families.hpp"
#include "helpers/simple.hpp"

namespace skep::helpers {
namespace {

u64 ktime_get_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_MONOTONIC); }
u64 ktime_get_boot_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_BOOTTIME); }
u64 ktime_get_coarse_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_MONOTONIC_COARSE); }
u64 ktime_get_tai_ns(u64, u64, u64, u64, u64, RunContext*) { return clock_ns(CLOCK_TAI); }

u64 get_smp_processor_id(u64, u64, u64, u64, u64, RunContext* run) { return run->cpu; }

u64 get_prandom_u32(u64, u64, u64, u64, u64, RunContext* run) {
  const u64 state = run->prandom_state += Prandom::step;
  __extension__ using Wide = unsigned __int128;
  const auto product = static_cast<Wide>(state) * (state ^ Prandom::mask);
  return static_cast<u32>(product) ^ static_cast<u32>(product >> 64);
}

u64 jiffies64(u64, u64, u64, u64, u64, RunContext*) { return jiffies_now(); }

/// Of the processor that the thread runs on.
u64 get_numa_node_id(u64, u64, u64, u64, u64, RunContext*) {
  unsigned cpu = 0, node = 0;
  return ::getcpu(&cpu, &node) == 0 ? node : 0;
}

/// As the kernel counts devices inside (MKDEV()).
u64 kernel_dev(dev_t dev) { return u64{major(dev)} << 20 | minor(dev); }

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

/// A task_struct is the kernel's, and unreadable from here: a number that is the thread's own, and that
/// bpf_probe_read_kernel() fails on.
u64 get_current_task(u64, u64, u64, u64, u64, RunContext*) {
  constexpr u64 not_ours = u64{0xffff8} << 44;
  constexpr u32 spacing = 13;
  return not_ours | u64{static_cast<u32>(::gettid())} << spacing;
}

/// (dev, ino): ids in the PID namespace of that file, if it is the process's.
u64 get_ns_current_pid_tgid(u64 dev, u64 ino, u64 to, u64 size64, u64, RunContext*) {
  const u32 size = static_cast<u32>(size64);
  struct PidnsInfo {
    u32 pid, tgid;
  };
  struct stat here{};
  const bool ours = size == sizeof(PidnsInfo) && ::stat("/proc/self/ns/pid", &here) == 0 &&
                    kernel_dev(here.st_dev) == dev && here.st_ino == ino;
  if (ours) {
    *pointer<PidnsInfo>(to) = {static_cast<u32>(::gettid()), static_cast<u32>(::getpid())};
    return 0;
  }
  std::memset(pointer<void>(to), 0, size);
  return error_result(EINVAL);
}

/// Fixups make an instruction of its own of every call.
u64 tail_call(u64, u64, u64, u64, u64, RunContext*) { return static_cast<u64>(-s64{EOPNOTSUPP}); }

constexpr HelperRow rows[] = {
    {5, ktime_get_ns},
    {7, get_prandom_u32},
    {8, get_smp_processor_id},
    {12, tail_call},
    {14, get_current_pid_tgid},
    {15, get_current_uid_gid},
    {16, get_current_comm},
    {42, get_numa_node_id},
    {118, jiffies64},
    {35, get_current_task},
    {120, get_ns_current_pid_tgid},
    {125, ktime_get_boot_ns},
    {160, ktime_get_coarse_ns},
    {208, ktime_get_tai_ns},
};

}  // namespace

std::span<const HelperRow> task_family() { return rows; }

}  // namespace skep::helpers
