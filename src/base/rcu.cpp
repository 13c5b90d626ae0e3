#include "base/rcu.hpp"

#include <urcu-qsbr.h>

namespace skep::rcu {
namespace {

// liburcu's grace periods are invisible to ThreadSanitizer: what a reader did before it was quiescent comes
// before what a deferred free does.
#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
char grace_period = 0;  // NOLINT: an address to synchronise on
void reader_is_quiescent() { __tsan_release(&grace_period); }
void grace_period_is_over() { __tsan_acquire(&grace_period); }
#else
void reader_is_quiescent() {}
void grace_period_is_over() {}
#endif

thread_local int depth = 0;  // NOLINT: a thread's own registration state, as liburcu keeps it

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
  if (depth++ == 0) urcu_qsbr_register_thread();
}
Reader::~Reader() {
  reader_is_quiescent();
  if (--depth == 0) urcu_qsbr_unregister_thread();
}

void quiescent() {
  reader_is_quiescent();
  urcu_qsbr_quiescent_state();
}
void offline() {
  reader_is_quiescent();
  urcu_qsbr_thread_offline();
}
void online() { urcu_qsbr_thread_online(); }
void synchronize() {
  urcu_qsbr_synchronize_rcu();
  grace_period_is_over();
}

void defer(void* what, void (*free)(void*)) {
  // call_rcu needs a registered caller.
  const Reader reader;
  urcu_qsbr_call_rcu(&(new Deferred{{}, what, free})->head, run_deferred);
}

void barrier() {
  const Reader reader;
  urcu_qsbr_barrier();
}

}  // namespace skep::rcu
