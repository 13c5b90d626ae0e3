// See ring_reader.hpp.
#include "consumers/ring_reader.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>

namespace skep::consumers {
namespace {

constexpr u64 page = 4096;
constexpr u32 busy = 1u << 31, discarded = 1u << 30, header_size = 8;

template <class T>
std::atomic_ref<T> shared(std::byte* at) {
  return std::atomic_ref<T>(*reinterpret_cast<T*>(at));
}

}  // namespace

Result<std::unique_ptr<RingReader>> RingReader::open(Kernel& kernel, int map) {
  const MapInfo info = TRY(kernel.map_info(map));
  if (info.type != MapType::ringbuf)
    return fail(EINVAL, fmt::format("map {} is no ringbuf but {}", info.id, map_type_name(info.type)));
  auto memory = TRY(kernel.map_memory(map));
  if (!std::has_single_bit(info.max_entries) || memory.size != page + 2 * u64{info.max_entries} ||
      !memory.wake)
    return fail(EPROTO, fmt::format("the memory of map {} is not a ring's", info.id));
  std::unique_ptr<RingReader> reader(new RingReader);
  reader->mask_ = u64{info.max_entries} - 1;
  reader->consumer_ = TRY(Mapping::map(page, PROT_READ | PROT_WRITE, MAP_SHARED, memory.consumer.get(), 0,
                                       "a ring's consumer page"));
  reader->producer_ = TRY(Mapping::map(memory.size, PROT_READ, MAP_SHARED, memory.fd.get(),
                                       static_cast<s64>(memory.offset), "a ring's data"));
  reader->wake_ = std::move(memory.wake);
  return reader;
}

Result<u64> RingReader::consume(const std::function<bool(ByteView record)>& visit) {
  // First the wake-ups, then the records. A map of the machine's own kernel cannot be read: its readiness
  // follows the positions.
  u64 wakes = 0;
  (void)!::read(wake_.get(), &wakes, sizeof wakes);
  const auto consumer = shared<u64>(consumer_.data());
  const auto producer = shared<u64>(producer_.data());
  std::byte* data = producer_.data() + page;
  u64 at = consumer.load(std::memory_order_relaxed);
  u64 records = 0;
  // A producer wakes whoever stands at the record that it commits: tell where we are, then look again.
  while (at != producer.load(std::memory_order_seq_cst)) {
    const u32 header = shared<u32>(data + (at & mask_)).load(std::memory_order_seq_cst);
    if ((header & busy) != 0) break;
    const u64 length = header & ~discarded;
    const u64 total = (length + header_size + 7) & ~u64{7};
    if (at % 8 != 0 || total > mask_ + 1)
      return fail(EPROTO, fmt::format("a record of {} bytes in a ring of {}", length, mask_ + 1));
    bool more = true;
    if ((header & discarded) == 0) {
      more = visit({data + (at & mask_) + header_size, length});
      ++records;
    }
    at += total;
    consumer.store(at, std::memory_order_seq_cst);
    if (!more) break;
  }
  return records;
}

}  // namespace skep::consumers
