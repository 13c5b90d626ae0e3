// Reclamation without locks for readers: liburcu's QSBR flavour. A thread that runs programs or reads maps
// holds an rcu::Reader; it announces quiescent() at burst boundaries, and pointers it read from a map stay
// valid until then. Writers hand memory to defer(). Nothing is freed while a reader could still see it.
#pragma once

namespace skep::rcu {

/// Registers the calling thread as a reader for the object's lifetime (online at once). Nestable: only the
/// outermost registers.
class Reader {
 public:
  Reader();
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

/// The calling Reader holds no pointer into shared structures right now. Call once per burst.
void quiescent();
/// Before the thread blocks, and after: a blocked online reader would stall every writer.
void offline();
void online();
/// Waits until all readers have passed a quiescent state. The caller may itself be a Reader.
void synchronize();
/// Calls free(what) after a grace period, from a background thread.
void defer(void* what, void (*free)(void*));
/// Waits until everything deferred so far has been freed (tests, shutdown).
void barrier();

}  // namespace skep::rcu
