#include "base/rcu.hpp"

#include <urcu-qsbr.h>

namespace skep::rcu {
namespace {

thread_local int depth = 0;  // NOLINT: a thread's own registration state, as liburcu keeps it

struct Deferred {
  rcu_head head;
  void* what;
  void (*free)(void*);
};

void run_deferred(rcu_head* head) {
  auto* deferred = reinterpret_cast<Deferred*>(head);  // head is the first member
  deferred->free(deferred->what);
  delete deferred;
}

}  // namespace

Reader::Reader() {
  if (depth++ == 0) urcu_qsbr_register_thread();
}
Reader::~Reader() {
  if (--depth == 0) urcu_qsbr_unregister_thread();
}

void quiescent() { urcu_qsbr_quiescent_state(); }
void offline() { urcu_qsbr_thread_offline(); }
void online() { urcu_qsbr_thread_online(); }
void synchronize() { urcu_qsbr_synchronize_rcu(); }

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
