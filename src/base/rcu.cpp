#include "base/rcu.hpp"

#include <urcu-qsbr.h>

#include <array>
#include <atomic>

namespace skep::rcu {
namespace {

// liburcu's grace periods are invisible to ThreadSanitizer: what a reader did before it was quiescent comes
// before what a deferred free does.
#if defined(SKEP_THREAD_SANITIZER)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
/// What liburcu does among its own threads is not compiled with it.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "called_from_lib:liburcu-qsbr.so"; }
char grace_period = 0;  // NOLINT: an address to synchronise on
void reader_is_quiescent() { __tsan_release(&grace_period); }
void grace_period_is_over() { __tsan_acquire(&grace_period); }
#else
void reader_is_quiescent() {}
void grace_period_is_over() {}
#endif

thread_local int depth = 0;  // NOLINT: a thread's own registration state, as liburcu keeps it

/// The epochs. A reader's slot has the epoch at which it was last quiescent, 0 while it sees nothing.
struct alignas(64) Slot {
  std::atomic<u64> seen{0};
  std::atomic<bool> taken{false};
};
std::array<Slot, reader_slots> slots;  // NOLINT: the process's readers, as liburcu's registry is
std::atomic<u32> slots_used{0};        // NOLINT: those beyond were never taken
std::atomic<u32> without_slot{0};      // NOLINT: readers that found none: nothing is over while there are
alignas(64) std::atomic<u64> current_epoch{1};  // NOLINT

/// A thread keeps its slot from its first Reader to its end.
struct OwnSlot {
  u32 index = reader_slots;
  ~OwnSlot() {
    if (index < reader_slots) slots[index].taken.store(false, std::memory_order_release);
  }
};
thread_local OwnSlot own_slot;  // NOLINT: a thread's own registration state

/// From here on this thread sees things: later reads must not come before the store.
void epoch_enter() {
  if (own_slot.index < reader_slots)
    slots[own_slot.index].seen.exchange(current_epoch.load(std::memory_order_acquire),
                                        std::memory_order_seq_cst);
}
void epoch_leave() {
  if (own_slot.index < reader_slots) slots[own_slot.index].seen.store(0, std::memory_order_release);
}
void epoch_quiescent() {
  if (own_slot.index == reader_slots) return;
  Slot& slot = slots[own_slot.index];
  if (slot.seen.load(std::memory_order_relaxed) != current_epoch.load(std::memory_order_acquire))
    epoch_enter();
}

void take_slot() {
  for (u32 i = 0; own_slot.index == reader_slots && i < reader_slots; ++i) {
    bool expected = false;
    if (slots[i].taken.load(std::memory_order_relaxed) ||
        !slots[i].taken.compare_exchange_strong(expected, true, std::memory_order_acq_rel))
      continue;
    own_slot.index = i;
    u32 used = slots_used.load(std::memory_order_relaxed);
    while (used <= i && !slots_used.compare_exchange_weak(used, i + 1, std::memory_order_seq_cst)) {
    }
  }
  if (own_slot.index == reader_slots) without_slot.fetch_add(1, std::memory_order_seq_cst);
  detail::reader_number = own_slot.index;
  epoch_enter();
}
void leave_slot() {
  detail::reader_number = reader_slots;
  if (own_slot.index == reader_slots) without_slot.fetch_sub(1, std::memory_order_release);
  epoch_leave();
}

struct Deferred {
  rcu_head head;
  void* what;
  void (*free)(void*);
};

void run_deferred(rcu_head* head) {
  grace_period_is_over();
  auto* deferred = reinterpret_cast<Deferred*>(head);  // head is the first member
  deferred->free(deferred->what);
  delete deferred;
}

}  // namespace

Reader::Reader() {
  if (depth++ != 0) return;
  urcu_qsbr_register_thread();
  take_slot();
}
Reader::~Reader() {
  reader_is_quiescent();
  if (--depth != 0) return;
  leave_slot();
  urcu_qsbr_unregister_thread();
}

void quiescent() {
  reader_is_quiescent();
  urcu_qsbr_quiescent_state();
  epoch_quiescent();
}
void offline() {
  reader_is_quiescent();
  epoch_leave();
  urcu_qsbr_thread_offline();
}
void online() {
  urcu_qsbr_thread_online();
  epoch_enter();
}
void synchronize() {
  urcu_qsbr_synchronize_rcu();
  grace_period_is_over();
}

void defer(void* what, void (*free)(void*)) {
  // call_rcu needs a registered caller.
  const Reader reader;
  urcu_qsbr_call_rcu(&(new Deferred{{}, what, free})->head, run_deferred);
}

u64 begin_grace() { return current_epoch.fetch_add(1, std::memory_order_seq_cst) + 1; }

bool grace_over(u64 grace) {
  if (without_slot.load(std::memory_order_seq_cst) != 0) return false;
  for (u32 i = 0, used = slots_used.load(std::memory_order_seq_cst); i < used; ++i)
    if (const u64 seen = slots[i].seen.load(std::memory_order_seq_cst); seen != 0 && seen < grace)
      return false;
  return true;
}

void barrier() {
  const Reader reader;
  urcu_qsbr_barrier();
}

}  // namespace skep::rcu
