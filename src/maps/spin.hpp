// A lock for a few dozen instructions, never held while waiting for anything.
#pragma once
#include <sched.h>
#include <time.h>

#include <atomic>

#include "base/types.hpp"

namespace skep::maps {

/// Waiting for another thread that will not be long. In the end it sleeps: who is waited for may have a lower
/// priority and the same processor.
class Backoff {
 public:
  void wait() noexcept {
    if (++spins_ % 128 != 0) return pause();
    if (spins_ < 128 * 64) {
      ::sched_yield();
      return;
    }
    const timespec short_time{0, 50'000};
    ::nanosleep(&short_time, nullptr);
  }

 private:
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  u32 spins_ = 0;
};

class SpinLock {
 public:
  void lock() noexcept {
    for (Backoff backoff; locked_.exchange(1, std::memory_order_acquire) != 0;) do
        backoff.wait();
      while (locked_.load(std::memory_order_relaxed) != 0);
  }
  void unlock() noexcept { locked_.store(0, std::memory_order_release); }

 private:
  std::atomic<u32> locked_{0};
};

/// Holds a lock, unless it is not needed (WriterGate::Scope::alone()).
template <class Lock>
class LockUnless {
 public:
  LockUnless(bool alone, Lock& lock) noexcept : lock_(alone ? nullptr : &lock) {
    if (lock_ != nullptr) lock_->lock();
  }
  ~LockUnless() {
    if (lock_ != nullptr) lock_->unlock();
  }
  LockUnless(const LockUnless&) = delete;
  LockUnless& operator=(const LockUnless&) = delete;

 private:
  Lock* lock_;
};

}  // namespace skep::maps
