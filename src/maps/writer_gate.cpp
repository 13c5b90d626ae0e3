// See writer_gate.hpp.
#include "maps/writer_gate.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/result.hpp"
#include "maps/spin.hpp"

namespace skep::maps {
namespace {

bool membarrier(int command) { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

/// Every thread of the process has passed a barrier when this returns.
void everybodys_barrier() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!detail::has_membarrier || membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // A child of fork(2) may have to say again that it wants this.
  const bool again =
      membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  SKEP_ASSERT(again);
}

}  // namespace

const bool detail::has_membarrier = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);

WriterGate::~WriterGate() {
  for (const auto& writer : writers_) delete writer.load(std::memory_order_relaxed);
}

WriterGate::Writer& WriterGate::writer(u32 slot) noexcept {
  auto* made = new Writer;
  writers_[slot].store(made, std::memory_order_release);
  return *made;
}

/// Under the mutex: waits until nobody is busy, and nobody will be.
void WriterGate::close() noexcept {
  state_.store(closed, std::memory_order_seq_cst);
  everybodys_barrier();
  // A writer that has no place yet when this looks sees that the gate is closed.
  for (const auto& slot : writers_)
    if (const Writer* writer = slot.load(std::memory_order_acquire); writer != nullptr)
      for (Backoff backoff; writer->busy.load(std::memory_order_acquire) != 0;) backoff.wait();
}

/// The state does not let the writer in: waits, or takes the map from its owner.
u32 WriterGate::wait(Writer& writer, u32 slot, u32 state) noexcept {
  do {
    writer.busy.store(0, std::memory_order_release);
    {
      const std::lock_guard until_open(mutex_);
      if (state_.load(std::memory_order_relaxed) != shared) {  // somebody who waited, too, may have taken it
        close();
        state_.store(shared, std::memory_order_release);
      }
    }
    writer.busy.store(1, std::memory_order_relaxed);
    detail::own_barrier();
    state = state_.load(std::memory_order_acquire);
  } while (state != shared && state != slot + 1);
  return state;
}

/// After some writes to the shared map: was anybody else here?
void WriterGate::look(Writer& writer, u32 slot) noexcept {
  if (slot == rcu::reader_slots) return;
  if (last_.load(std::memory_order_relaxed) != slot) {
    last_.store(slot, std::memory_order_relaxed);
    writer.looks = 0;
    return;
  }
  const u32 needed = looks_needed_.load(std::memory_order_relaxed);
  if (++writer.looks < needed) return;
  writer.looks = 0;
  const std::lock_guard lock(mutex_);
  if (state_.load(std::memory_order_relaxed) != shared) return;
  looks_needed_.store(std::min(2 * needed, looks_most), std::memory_order_relaxed);
  close();
  state_.store(slot + 1, std::memory_order_release);
}

}  // namespace skep::maps
