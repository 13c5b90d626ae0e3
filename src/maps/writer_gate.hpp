// Who writes to a map at the same time as others. In general many do, each under the locks of what it
// changes. But a lock's atomic instruction costs more than the rest of an update: until it is done, the
// processor waits for nothing else from memory. And most maps have one writer. So a thread that for a while
// was the only one to write gets the map for itself and takes no locks, until another one comes.
//
// A writer says with a plain store that it is busy and then looks at the state; who changes the state has the
// kernel put a barrier between these two in every thread (membarrier(2)) and waits until nobody is busy.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "base/rcu.hpp"

namespace skep::maps {

namespace detail {
/// Whether membarrier(2) works here; else every writer has a barrier of its own.
extern const bool has_membarrier;
inline void own_barrier() noexcept {
  if (has_membarrier) [[likely]]
    std::atomic_signal_fence(std::memory_order_seq_cst);
  else
    std::atomic_thread_fence(std::memory_order_seq_cst);
}
}  // namespace detail

class WriterGate {
 public:
  /// A number for each rcu::Reader, and one that all other threads share (and wait for each other).
  static constexpr u32 slots = rcu::reader_slots + 1;

  WriterGate() = default;
  WriterGate(const WriterGate&) = delete;
  WriterGate& operator=(const WriterGate&) = delete;
  ~WriterGate();

  /// Held while a thread writes to the map; not nested in one thread.
  class Scope {
   public:
    explicit Scope(WriterGate& gate) noexcept;
    ~Scope() {
      busy_->store(0, std::memory_order_release);
      if (slot_ == rcu::reader_slots) [[unlikely]]
        gate_.outsiders_.unlock();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    /// Below `slots`; nobody else has it meanwhile.
    [[nodiscard]] u32 slot() const { return slot_; }
    /// Nobody else writes meanwhile.
    [[nodiscard]] bool alone() const { return alone_; }

   private:
    WriterGate& gate_;
    u32 slot_;
    std::atomic<u32>* busy_;
    bool alone_;
  };

  /// Held while the thread writes that has the map for itself; false where none has, or another one: a Scope
  /// then waits for it.
  class Own {
   public:
    [[gnu::always_inline]] explicit Own(WriterGate& gate) noexcept : slot_(rcu::reader_slot()) {
      if (gate.state_.load(std::memory_order_relaxed) != slot_ + 1) return;
      std::atomic<u32>& busy = gate.writers_[slot_].load(std::memory_order_relaxed)->busy;
      busy.store(1, std::memory_order_relaxed);
      detail::own_barrier();
      if (gate.state_.load(std::memory_order_acquire) == slot_ + 1) [[likely]]
        busy_ = &busy;
      else
        busy.store(0, std::memory_order_release);
    }
    ~Own() {
      if (busy_ != nullptr) busy_->store(0, std::memory_order_release);
    }
    Own(const Own&) = delete;
    Own& operator=(const Own&) = delete;
    explicit operator bool() const { return busy_ != nullptr; }
    [[nodiscard]] u32 slot() const { return slot_; }

   private:
    u32 slot_;
    std::atomic<u32>* busy_ = nullptr;
  };

  /// Calls body() while nobody writes; not from inside a Scope. Afterwards the map is nobody's own.
  template <class F>
  void exclusively(F body) noexcept {
    const std::lock_guard lock(mutex_);
    close();
    body();
    state_.store(shared, std::memory_order_release);
  }
  /// Whether a thread has the map for itself (tests).
  [[nodiscard]] bool owned() const {
    const u32 state = state_.load(std::memory_order_relaxed);
    return state != shared && state != closed;
  }

  /// Writes after which it is looked whether somebody else wrote; so many times in a row with the same answer
  /// until the thread has the map for itself (more after each time that it was taken away).
  static constexpr u32 look_every = 256, looks_first = 4, looks_most = 64;

 private:
  static constexpr u32 shared = 0, closed = ~0u;  ///< other states: the owner's slot + 1
  struct alignas(64) Writer {
    std::atomic<u32> busy{0};
    u32 writes = 0;
    u32 looks = 0;  ///< in a row, with nobody else's writes between
  };

  Writer& writer(u32 slot) noexcept;
  void close() noexcept;
  u32 wait(Writer& writer, u32 slot, u32 state) noexcept;
  void look(Writer& writer, u32 slot) noexcept;

  std::atomic<u32> state_{shared};
  std::atomic<u32> last_{closed};  ///< who looked last
  std::atomic<u32> looks_needed_{looks_first};
  std::array<std::atomic<Writer*>, slots> writers_{};
  std::mutex outsiders_;
  std::mutex mutex_;  ///< of who closes the gate
};

inline WriterGate::Scope::Scope(WriterGate& gate) noexcept : gate_(gate), slot_(rcu::reader_slot()) {
  if (slot_ == rcu::reader_slots) [[unlikely]]
    gate_.outsiders_.lock();
  Writer* writer = gate_.writers_[slot_].load(std::memory_order_relaxed);
  if (writer == nullptr) [[unlikely]]
    writer = &gate_.writer(slot_);
  if (gate_.state_.load(std::memory_order_relaxed) == shared && ++writer->writes % look_every == 0)
      [[unlikely]]
    gate_.look(*writer, slot_);
  busy_ = &writer->busy;
  busy_->store(1, std::memory_order_relaxed);
  detail::own_barrier();
  u32 state = gate_.state_.load(std::memory_order_acquire);
  if (state != slot_ + 1 && state != shared) [[unlikely]]
    state = gate_.wait(*writer, slot_, state);
  alone_ = state != shared;
}

}  // namespace skep::maps
