// The C API's consumers of ring buffers and perf events (src/consumers/).
#include <poll.h>

#include "consumers/event_reader.hpp"
#include "consumers/ring_reader.hpp"
#include "embed/handles.hpp"

struct skep_ring {
  std::unique_ptr<skep::consumers::RingReader> reader;
};
struct skep_events {
  std::unique_ptr<skep::consumers::EventReader> reader;
};

namespace {

using skep::embed::failed;

/// 1: there may be something; 0: the time is over; a negative errno.
int wait_for(int fd, int timeout_ms) {
  pollfd wait{fd, POLLIN, 0};
  const int ready = ::poll(&wait, 1, timeout_ms);
  if (ready < 0) return failed(errno, "waiting for a consumer: " + skep::errno_text(errno));
  return ready;
}

std::int64_t count_of(const skep::Result<skep::u64>& read) {
  return read ? static_cast<std::int64_t>(*read) : failed(read.error());
}

}  // namespace

extern "C" {

skep_ring* skep_ring_open(skep_map* map) {
  auto reader = skep::consumers::RingReader::open(map->kernel->kernel(), map->fd);
  if (reader) return new skep_ring{std::move(*reader)};
  failed(reader.error());
  return nullptr;
}
void skep_ring_close(skep_ring* ring) { delete ring; }
int skep_ring_fd(const skep_ring* ring) { return ring->reader->fd(); }

int64_t skep_ring_consume(skep_ring* ring, skep_record_fn record, void* user) {
  return count_of(ring->reader->consume(
      [&](skep::ByteView bytes) { return record(user, bytes.data(), bytes.size()) == 0; }));
}
int64_t skep_ring_poll(skep_ring* ring, int timeout_ms, skep_record_fn record, void* user) {
  const int ready = wait_for(skep_ring_fd(ring), timeout_ms);
  return ready > 0 ? skep_ring_consume(ring, record, user) : ready;
}

skep_events* skep_events_open(skep_map* map, uint32_t pages) {
  auto reader = skep::consumers::EventReader::open(map->kernel->kernel(), map->fd, pages);
  if (reader) return new skep_events{std::move(*reader)};
  failed(reader.error());
  return nullptr;
}
void skep_events_close(skep_events* events) { delete events; }
int skep_events_fd(const skep_events* events) { return events->reader->fd(); }

int64_t skep_events_consume(skep_events* events, skep_event_fn event, void* user) {
  using skep::consumers::EventSource;
  const skep::consumers::EventVisitor visitor{
      .sample =
          [&](const EventSource& source, skep::u64 time, skep::ByteView data) {
            const skep_event one{data.data(), data.size(), time, 0, source.cpu};
            event(user, &one);
          },
      .lost =
          [&](const EventSource& source, skep::u64, skep::u64 count) {
            const skep_event gap{nullptr, 0, 0, count, source.cpu};
            event(user, &gap);
          },
      .other = {}};
  return count_of(events->reader->consume(visitor));
}
int64_t skep_events_poll(skep_events* events, int timeout_ms, skep_event_fn event, void* user) {
  const int ready = wait_for(skep_events_fd(events), timeout_ms);
  return ready > 0 ? skep_events_consume(events, event, user) : ready;
}

}  // extern "C"
