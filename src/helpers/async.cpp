// See async.hpp.
#include "helpers/async.hpp"

#include <time.h>

#include <atomic>
#include <cerrno>
#include <chrono>

#include "base/rcu.hpp"

namespace skep {
namespace {

u64 now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<u64>(time.tv_sec) * 1'000'000'000u + static_cast<u64>(time.tv_nsec);
}

}  // namespace

class AsyncRunner::Task final : public maps::AsyncField, public std::enable_shared_from_this<Task> {
 public:
  Task(std::shared_ptr<AsyncRunner> runner, maps::Map& map, std::byte* value, clockid_t clock)
      : runner_(std::move(runner)), map_(map.weak_from_this()), value_(value), clock_(clock) {}
  ~Task() = default;

  /// The value's field is the owner until release().
  void own_itself() { self_ = shared_from_this(); }
  void release() noexcept override;

  int set_callback(const Callback& callback, const ProgramKeeper& program);
  int start(u64 nanoseconds, bool absolute);
  int cancel();

 private:
  friend class AsyncRunner;
  /// With the runner's lock: whether it was waiting.
  bool unqueue();
  void call(RunContext& context, const std::shared_ptr<maps::Map>& map, const Callback& callback);

  std::shared_ptr<AsyncRunner> runner_;
  std::weak_ptr<maps::Map> map_;
  std::byte* value_;
  clockid_t clock_;
  std::shared_ptr<Task> self_;
  // Under the runner's lock.
  const Callback* callback_ = nullptr;
  std::shared_ptr<const void> program_;
  std::multimap<u64, std::shared_ptr<Task>>::iterator at_;
  bool waiting_ = false;
  bool released_ = false;
};

namespace {

AsyncRunner::Task* task_in(std::byte* field) {
  auto* held = std::atomic_ref<maps::AsyncField*>(*reinterpret_cast<maps::AsyncField**>(field))
                   .load(std::memory_order_acquire);
  return static_cast<AsyncRunner::Task*>(held);
}

/// A program may go with its last reference, which takes locks: not where some are held.
void let_go_later(std::shared_ptr<const void> what) {
  if (what == nullptr) return;
  rcu::defer(new std::shared_ptr<const void>(std::move(what)),
             [](void* held) { delete static_cast<std::shared_ptr<const void>*>(held); });
}

}  // namespace

bool AsyncRunner::Task::unqueue() {
  if (!waiting_) return false;
  waiting_ = false;
  runner_->due_.erase(at_);
  return true;
}

void AsyncRunner::Task::release() noexcept {
  std::shared_ptr<const void> program;
  {
    const std::lock_guard lock(runner_->mutex_);
    released_ = true;
    unqueue();
    callback_ = nullptr;
    program = std::move(program_);
  }
  let_go_later(std::move(program));
  let_go_later(std::move(self_));  // programs may still look at it
}

int AsyncRunner::Task::set_callback(const Callback& callback, const ProgramKeeper& program) {
  auto kept = program.program.lock();
  const auto map = map_.lock();
  if (kept == nullptr || map == nullptr) return -ENOENT;
  {
    const std::lock_guard lock(runner_->mutex_);
    if (released_ || !map->has_user_references()) return -EPERM;
    callback_ = &callback;
    program_.swap(kept);
  }
  let_go_later(std::move(kept));
  return 0;
}

int AsyncRunner::Task::start(u64 nanoseconds, bool absolute) {
  const u64 here = now(CLOCK_MONOTONIC);
  u64 when = here + nanoseconds;
  if (absolute) {
    const u64 there = now(clock_);
    when = nanoseconds > there ? here + (nanoseconds - there) : here;
  }
  if (when < here) when = ~u64{0};
  const std::lock_guard lock(runner_->mutex_);
  if (callback_ == nullptr) return -EINVAL;
  unqueue();
  at_ = runner_->due_.emplace(when, shared_from_this());
  waiting_ = true;
  if (!runner_->thread_.joinable() && !runner_->stopping_)
    runner_->thread_ = std::thread(&AsyncRunner::run, runner_.get());
  runner_->changed_.notify_one();
  return 0;
}

int AsyncRunner::Task::cancel() {
  std::shared_ptr<const void> program;
  bool waited = false;
  {
    std::unique_lock lock(runner_->mutex_);
    const bool in_callback = runner_->worker_ == std::this_thread::get_id();
    if (runner_->running_ == this && in_callback) return -EDEADLK;
    callback_ = nullptr;
    program = std::move(program_);
    waited = unqueue();
    if (!in_callback) runner_->finished_.wait(lock, [&] { return runner_->running_ != this; });
  }
  let_go_later(std::move(program));
  return waited ? 1 : 0;
}

/// bpf_timer_cb(), bpf_wq_work(): arrays give the index, hashes the key before the value.
void AsyncRunner::Task::call(RunContext& context, const std::shared_ptr<maps::Map>& map,
                             const Callback& callback) {
  const maps::MapFacts& facts = map->facts();
  u32 index = 0;
  auto key = reinterpret_cast<u64>(value_) - ((facts.key_size + 7u) & ~7u);
  if (facts.type == MapType::array) {
    index = static_cast<u32>((reinterpret_cast<u64>(value_) - facts.values_address) /
                             ((facts.value_size + 7u) & ~7u));
    key = reinterpret_cast<u64>(&index);
  }
  context.tail_calls = 0;
  callback(reinterpret_cast<u64>(map.get()), key, reinterpret_cast<u64>(value_), 0, 0, &context);
}

AsyncRunner::~AsyncRunner() { stop(); }

void AsyncRunner::stop() noexcept {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    thread.swap(thread_);
    changed_.notify_one();
  }
  if (!thread.joinable()) return;
  // The last timer may go in a callback, and the runner with it.
  if (thread.get_id() == std::this_thread::get_id())
    thread.detach();
  else
    thread.join();
}

int AsyncRunner::init(Kind kind, std::byte* field, maps::Map& map, s32 clock) {
  const btf::Record& record = map.facts().record;
  const s32 offset = kind == Kind::timer ? record.timer_off : record.workqueue_off;
  const std::atomic_ref<maps::AsyncField*> place(*reinterpret_cast<maps::AsyncField**>(field));
  if (place.load(std::memory_order_acquire) != nullptr) return -EBUSY;
  auto task = std::make_shared<Task>(shared_from_this(), map, field - offset, clock);
  task->own_itself();
  maps::AsyncField* empty = nullptr;
  if (!place.compare_exchange_strong(empty, task.get())) {
    task->release();
    return -EBUSY;
  }
  // Either this sees that the last reference has gone, or whoever drops it sees the task.
  if (map.has_user_references()) return 0;
  maps::AsyncField* mine = task.get();
  if (place.compare_exchange_strong(mine, nullptr)) task->release();
  return -EPERM;
}

void AsyncRunner::run() {
  const auto keep = shared_from_this();
  const rcu::Reader reader;
  RunContext context = context_();
  std::unique_lock lock(mutex_);
  worker_ = std::this_thread::get_id();
  while (!stopping_) {
    if (!due_.empty() && due_.begin()->first <= now(CLOCK_MONOTONIC)) {
      const std::shared_ptr<Task> task = due_.begin()->second;
      task->unqueue();
      const Callback* callback = task->callback_;
      std::shared_ptr<const void> program = task->program_;
      std::shared_ptr<maps::Map> map = task->map_.lock();
      if (callback == nullptr || map == nullptr) continue;
      running_ = task.get();
      lock.unlock();
      task->call(context, map, *callback);
      map.reset();
      program.reset();
      rcu::quiescent();
      lock.lock();
      running_ = nullptr;
      finished_.notify_all();
      continue;
    }
    rcu::offline();
    if (due_.empty()) {
      changed_.wait(lock);
    } else {
      const auto until = std::chrono::steady_clock::time_point(
          std::chrono::nanoseconds(std::min<u64>(due_.begin()->first, static_cast<u64>(INT64_MAX) / 2)));
      changed_.wait_until(lock, until);
    }
    rcu::online();
  }
}

int async_set_callback(std::byte* field, const Callback& callback, const ProgramKeeper& program) {
  AsyncRunner::Task* task = task_in(field);
  return task == nullptr ? -EINVAL : task->set_callback(callback, program);
}
int async_start(std::byte* field, u64 nanoseconds, bool absolute) {
  AsyncRunner::Task* task = task_in(field);
  return task == nullptr ? -EINVAL : task->start(nanoseconds, absolute);
}
int async_cancel(std::byte* field) {
  AsyncRunner::Task* task = task_in(field);
  return task == nullptr ? -EINVAL : task->cancel();
}

}  // namespace skep
