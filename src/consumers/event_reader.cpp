// See event_reader.hpp.
#include "consumers/event_reader.hpp"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>

namespace skep::consumers {

struct EventReader::Ring {
  EventSource source;
  Mapping memory;
  UniqueFd wake;
  bool ended = false;  ///< the other end of `wake` is closed

  static constexpr u64 page = 4096;
  [[nodiscard]] std::atomic_ref<u64> head() const {
    return position(offsetof(perf_event_mmap_page, data_head));
  }
  [[nodiscard]] std::atomic_ref<u64> tail() const {
    return position(offsetof(perf_event_mmap_page, data_tail));
  }
  [[nodiscard]] ByteView data() const { return memory.bytes().subspan(page); }

 private:
  [[nodiscard]] std::atomic_ref<u64> position(u64 offset) const {
    return std::atomic_ref<u64>(*reinterpret_cast<u64*>(memory.data() + offset));
  }
};

EventReader::~EventReader() = default;

Result<std::unique_ptr<EventReader>> EventReader::open(Kernel& kernel, int map, u32 pages) {
  const u32 slots = TRY(kernel.map_info(map)).max_entries;
  std::vector<EventSpec> all(std::min(slots, TRY(kernel.possible_cpus())));
  for (u32 cpu = 0; cpu < all.size(); ++cpu) all[cpu] = {cpu, cpu, pages};
  return open(kernel, map, all);
}

Result<std::unique_ptr<EventReader>> EventReader::open(Kernel& kernel, int map,
                                                       std::span<const EventSpec> events) {
  std::unique_ptr<EventReader> reader(new EventReader);
  reader->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!reader->epoll_) return fail_errno("epoll");
  for (const EventSpec& spec : events) {
    const auto added = reader->add(kernel, map, spec);
    // A possible CPU may be off: nothing runs there.
    if (!added && (added.error().code != ENODEV || events.size() == 1)) return std::unexpected(added.error());
  }
  return reader;
}

Result<void> EventReader::add(Kernel& kernel, int map, const EventSpec& spec) {
  auto made = TRY(kernel.map_events(map, spec));
  if (made.size <= Ring::page || !std::has_single_bit(made.size - Ring::page))
    return fail(EPROTO, fmt::format("a perf event's ring of {} bytes", made.size));
  Ring ring;
  ring.source = {spec.cpu, spec.index};
  ring.memory = TRY(Mapping::map(made.size, PROT_READ | PROT_WRITE, MAP_SHARED, made.memory.get(), 0,
                                 "a perf event's ring"));
  ring.wake = std::move(made.wake);
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ring.wake.get(), &event) < 0) return fail_errno("epoll");
  rings_.push_back(std::move(ring));
  return {};
}

Result<u64> EventReader::consume(const EventVisitor& visitor) {
  u64 samples = 0;
  for (Ring& ring : rings_) {
    // First the wake-ups, then the records: one that comes in between wakes again. A real perf event is no
    // socket: polling it is enough there.
    std::array<char, 64> wakes;  // NOLINT: thrown away
    for (ssize_t got = 1; got > 0 && !ring.ended;) {
      got = ::recv(ring.wake.get(), wakes.data(), wakes.size(), MSG_DONTWAIT);
      ring.ended = got == 0 || (got < 0 && errno == ECONNRESET);
    }
    samples += TRY(consume(ring, visitor));
    if (ring.ended) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, ring.wake.get(), nullptr);
  }
  if (!rings_.empty() && std::ranges::all_of(rings_, &Ring::ended))
    return fail(ENOTCONN,
                "no event is in its slot any more: another reader has them, or the daemon has ended");
  return samples;
}

Result<u64> EventReader::consume(Ring& ring, const EventVisitor& visitor) {
  const ByteView data = ring.data();
  u64 samples = 0;
  u64 tail = ring.tail().load(std::memory_order_relaxed);
  // The writer wakes whoever has told, by data_tail, that it has seen everything: tell, then look again.
  for (u64 head = 0; (head = ring.head().load(std::memory_order_seq_cst)) != tail;) {
    while (tail != head) {
      const u64 at = tail & (data.size() - 1);
      const auto header = load<perf_event_header>(&data[at]);  // 8 bytes at a multiple of 8
      if (header.size < sizeof header || header.size % 8 != 0 || header.size > head - tail ||
          header.size > data.size())
        return fail(EPROTO, fmt::format("a record of {} bytes in a perf event's ring", header.size));
      ByteView record = data.subspan(at, std::min<u64>(header.size, data.size() - at));
      if (record.size() < header.size) {
        whole_.assign(record.begin(), record.end());
        whole_.insert(whole_.end(), data.begin(),
                      data.begin() + static_cast<s64>(header.size - record.size()));
        record = whole_;
      }
      const ByteReader fields(record, "a record of a perf event");
      if (header.type == PERF_RECORD_SAMPLE) {
        const u64 time = TRY(fields.read<u64>(8));
        const u32 size = TRY(fields.read<u32>(16));
        visitor.sample(ring.source, time, TRY(fields.sub(20, size)));
        ++samples;
      } else if (header.type == PERF_RECORD_LOST) {
        const u64 id = TRY(fields.read<u64>(8));
        const u64 count = TRY(fields.read<u64>(16));
        if (visitor.lost) visitor.lost(ring.source, id, count);
      } else if (visitor.other) {
        visitor.other(ring.source, header.type, header.size);
      }
      tail += header.size;
    }
    ring.tail().store(tail, std::memory_order_seq_cst);
  }
  return samples;
}

}  // namespace skep::consumers
