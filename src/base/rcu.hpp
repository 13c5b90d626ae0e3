// Reclamation without locks for readers: liburcu's QSBR flavour. A thread that runs programs or reads maps
// holds an rcu::Reader; it announces quiescent() at burst boundaries, and pointers it read from a map stay
// valid until then. Writers hand memory to defer(). Nothing is freed while a reader could still see it.
//
// Beside that, readers are counted in epochs that can be asked for without waiting: begin_grace() and
// grace_over(), for writers that reuse memory themselves as soon as they may.
#pragma once
#include "base/types.hpp"

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
/// Begins a grace period: what was unlinked before, nobody sees any more when grace_over(its result).
[[nodiscard]] u64 begin_grace();
/// Whether all readers have been quiescent since begin_grace() gave `grace`. Never waits.
[[nodiscard]] bool grace_over(u64 grace);

/// The calling Reader's number, no other Reader's while this one lives; below reader_slots, or that where so
/// many are taken. Without a Reader: reader_slots.
inline constexpr u32 reader_slots = 128;
namespace detail {
inline constinit thread_local u32 reader_number = reader_slots;  // NOLINT: a thread's own
}
[[nodiscard]] inline u32 reader_slot() { return detail::reader_number; }

/// Waits until everything deferred so far has been freed (tests, shutdown).
void barrier();

}  // namespace skep::rcu
