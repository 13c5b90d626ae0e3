// A lock for a few dozen instructions, never held while waiting for anything.
#pragma once
#include <sched.h>

#include <atomic>

#include "base/types.hpp"

namespace skep::maps {

class SpinLock {
 public:
  void lock() noexcept {
    for (u32 spins = 0; locked_.exchange(1, std::memory_order_acquire) != 0;)
      if (++spins % 128 == 0) ::sched_yield();
  }
  bool try_lock() noexcept { return locked_.exchange(1, std::memory_order_acquire) == 0; }
  void unlock() noexcept { locked_.store(0, std::memory_order_release); }

 private:
  std::atomic<u32> locked_{0};
};

}  // namespace skep::maps
