// What programs leave to be run later: bpf_timer and bpf_wq in map values (kernel: struct bpf_async_cb of
// kernel/bpf/helpers.c). One thread runs all callbacks of a kernel, one after the other.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "helpers/run_context.hpp"
#include "maps/map.hpp"
#include "maps/objects.hpp"

namespace skep {

/// In each program, where code that the fixups make can point: callbacks keep their program
/// (kernel: struct bpf_prog_aux).
struct ProgramKeeper {
  std::weak_ptr<const void> program;
};

/// What runs callbacks. Shared with the timers, which outlive the kernel where maps do.
class AsyncRunner : public std::enable_shared_from_this<AsyncRunner> {
 public:
  /// `context`: what the thread runs programs with; asked once, when the first callback is due to be.
  explicit AsyncRunner(std::function<RunContext()> context) : context_(std::move(context)) {}
  ~AsyncRunner();
  AsyncRunner(const AsyncRunner&) = delete;
  AsyncRunner& operator=(const AsyncRunner&) = delete;
  /// Nothing runs any more. Not from a callback.
  void stop() noexcept;

  /// A callback in a value: what its field holds.
  class Task;

  enum class Kind : u8 { timer, workqueue };
  /// Puts a task into `field` of a value of `map`. EBUSY: there is one; EPERM: nobody in user space refers to
  /// the map; ENOMEM. Negative.
  int init(Kind kind, std::byte* field, maps::Map& map, s32 clock);

 private:
  void run();

  std::function<RunContext()> context_;
  std::mutex mutex_;
  std::condition_variable changed_, finished_;
  std::multimap<u64, std::shared_ptr<Task>> due_;  ///< by CLOCK_MONOTONIC, in ns
  Task* running_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
  std::thread::id worker_;  ///< of thread_, also while it is waited for
};

// From programs, on the field of a value; negative errnos as the kernel has them.
int async_set_callback(std::byte* field, const Callback& callback, const ProgramKeeper& program);
/// `nanoseconds` from now, or of the timer's clock if `absolute`.
int async_start(std::byte* field, u64 nanoseconds, bool absolute);
/// 1: it was waiting to run; 0: it was not. Waits for a callback that runs.
int async_cancel(std::byte* field);

}  // namespace skep
