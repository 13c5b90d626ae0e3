// Resilient spin locks: taking one fails where it would never be had (kernel: kernel/bpf/rqspinlock.c). A CPU
// that holds the lock itself is told so at once; a lock that somebody else keeps is given up on after a
// quarter of a second. Two CPUs that wait for each other are found by that, too, and not sooner.
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

constexpr u64 give_up_after_ns = 250'000'000;  // RES_DEF_TIMEOUT

u64 now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

int take(std::atomic_ref<u32> lock) {
  u64 since = 0;
  for (u32 spins = 0; lock.exchange(1, std::memory_order_acquire) != 0;) {
    if (++spins % 128 != 0) continue;
    const u64 now = now_ns();
    if (since == 0) since = now;
    if (now - since > give_up_after_ns) return -ETIMEDOUT;
    ::sched_yield();
  }
  return 0;
}

/// (lock)
u64 res_spin_lock(u64 lock, u64, u64, u64, u64, RunContext* run) {
  HeldLocks& held = run->held_locks;
  const auto end = held.locks.begin() + held.count;
  if (std::find(held.locks.begin(), end, lock) != end) return error_result(EDEADLK);
  if (held.count == held.locks.size()) return error_result(EDEADLK);
  if (const int error = take(std::atomic_ref<u32>(*pointer<u32>(lock))); error != 0)
    return static_cast<u64>(s64{error});
  held.locks[held.count++] = lock;
  return 0;
}
u64 res_spin_unlock(u64 lock, u64, u64, u64, u64, RunContext* run) {
  HeldLocks& held = run->held_locks;
  const auto end = held.locks.begin() + held.count;
  const auto at = std::find(held.locks.begin(), end, lock);
  if (at != end) held.count = static_cast<u32>(std::move(at + 1, end, at) - held.locks.begin());
  std::atomic_ref<u32>(*pointer<u32>(lock)).store(0, std::memory_order_release);
  return 0;
}
/// (lock, flags): interrupts are the section's business (kernel_sections.cpp).
u64 res_spin_lock_irqsave(u64 lock, u64 flags, u64, u64, u64, RunContext* run) {
  *pointer<u64>(flags) = interrupts_enabled;
  return res_spin_lock(lock, 0, 0, 0, 0, run);
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_res_spin_lock", res_spin_lock},
    {"bpf_res_spin_unlock", res_spin_unlock},
    {"bpf_res_spin_lock_irqsave", res_spin_lock_irqsave},
    {"bpf_res_spin_unlock_irqrestore", res_spin_unlock},
};

}  // namespace

std::span<const KernelFunctionRow> lock_kernel_functions() { return rows; }

}  // namespace skep::helpers
