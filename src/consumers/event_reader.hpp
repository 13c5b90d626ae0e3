// Reads what programs output to a perf_event_array (bpf_perf_event_output()).
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "kernel/kernel.hpp"

namespace skep::consumers {

/// A record of one ring.
struct EventSource {
  u32 cpu = 0;    ///< that the program ran on
  u32 index = 0;  ///< the map's slot
};
struct EventVisitor {
  /// `data` has up to 7 bytes more than the program gave: perf rounds lengths up so that they and their own
  /// four bytes fill 8 (linux/perf_event.h, PERF_SAMPLE_RAW). Valid during the call. `time_ns`:
  /// CLOCK_MONOTONIC, or the machine's kernel's perf clock.
  std::function<void(const EventSource&, u64 time_ns, ByteView data)> sample;
  /// `count` events are missing here: the ring was full. May be empty.
  std::function<void(const EventSource&, u64 id, u64 count)> lost;
  /// A record of another type. May be empty.
  std::function<void(const EventSource&, u32 type, u32 size)> other;
};

class EventReader {
 public:
  /// Puts an event in the slot of each CPU's number, as far as the map has slots.
  static Result<std::unique_ptr<EventReader>> open(Kernel& kernel, int map, u32 pages);
  /// Puts these events into their slots. Errors: Kernel::map_events()'s.
  static Result<std::unique_ptr<EventReader>> open(Kernel& kernel, int map,
                                                   std::span<const EventSpec> events);
  EventReader(const EventReader&) = delete;
  EventReader& operator=(const EventReader&) = delete;
  /// Takes the events out of their slots.
  ~EventReader();

  /// Readable while there may be something new.
  [[nodiscard]] int fd() const { return epoll_.get(); }
  /// Reads what there is; returns how many samples. ENOTCONN: no event is in its slot any more (the daemon
  /// has ended, or other readers took the slots over); what was there has been read. EPROTO: a ring has
  /// nonsense in it.
  Result<u64> consume(const EventVisitor& visitor);

 private:
  struct Ring;
  EventReader() = default;
  Result<void> add(Kernel& kernel, int map, const EventSpec& spec);
  Result<u64> consume(Ring& ring, const EventVisitor& visitor);

  UniqueFd epoll_;
  std::vector<Ring> rings_;
  std::vector<std::byte> whole_;  ///< a record that runs over the ring's end
};

}  // namespace skep::consumers
