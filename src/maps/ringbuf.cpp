// See ringbuf.hpp.
#include "maps/ringbuf.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "maps/checks.hpp"

namespace skep::maps {
namespace {

constexpr u64 round_to_8(u64 size) { return (size + 7) & ~u64{7}; }

Result<UniqueFd> shared_pages(u64 size, std::byte* at) {
  UniqueFd fd(::memfd_create("skep-ringbuf", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_errno("ring");
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return fail_errno("ring");
  if (::mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0) == MAP_FAILED)
    return fail_errno("ring");
  return fd;
}

/// ringbuf_map_alloc()
Result<void> check(const MapSpec& spec) {
  if (auto ok = check_flags(spec, uapi::F_NUMA_NODE); !ok) return ok;
  if (auto ok = check_key(spec, 0); !ok) return ok;
  if (auto ok = check_value(spec, 0); !ok) return ok;
  if (!std::has_single_bit(spec.max_entries) || spec.max_entries % ringbuf_page != 0)
    return fail(EINVAL, fmt::format("max_entries {} is no power of two of whole pages", spec.max_entries));
  return {};
}

}  // namespace

RingbufMap::RingbufMap(const MapSpec& spec, Mapping memory, UniqueFd consumer, UniqueFd data, UniqueFd wake)
    : Map(spec),
      memory_(std::move(memory)),
      consumer_(std::move(consumer)),
      data_(std::move(data)),
      wake_(std::move(wake)) {
  Ring* made = new (memory_.data()) Ring;
  made->map = this;
  made->mask = u64{spec.max_entries} - 1;
  made->wake = wake_.get();
}

RingbufMap::~RingbufMap() = default;

Result<MapRef> RingbufMap::make(const MapSpec& spec, const Environment&) {
  const u64 data_size = ringbuf_page + 2 * u64{spec.max_entries};  // the producer's position goes with it
  auto memory = TRY(Mapping::map(2 * ringbuf_page + data_size, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "ring"));
  auto consumer = TRY(shared_pages(ringbuf_page, memory.data() + ringbuf_page));
  auto data = TRY(shared_pages(data_size, memory.data() + 2 * ringbuf_page));
  // Clients write the positions of their side only: what the other side owns is never mapped writable again.
  const UniqueFd& ours = spec.type == MapType::ringbuf ? data : consumer;
  if (::fcntl(ours.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0) return fail_errno("ring");
  UniqueFd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) return fail_errno("eventfd");
  return MapRef(
      new RingbufMap(spec, std::move(memory), std::move(consumer), std::move(data), std::move(wake)));
}

/// ringbuf_map_mem_usage()
u64 RingbufMap::memlock() const {
  const u64 pages = facts_.max_entries / ringbuf_page;
  return 304 + 8 * (3 + 2 * pages) + ringbuf_page * (3 + pages);
}

Result<MapMemory> RingbufMap::memory() {
  MapMemory memory;
  memory.fd = TRY(data_.duplicate());
  memory.size = ringbuf_page + 2 * u64{facts_.max_entries};
  memory.consumer = TRY(consumer_.duplicate());
  memory.wake = TRY(wake_.duplicate());
  return memory;
}

/// By one thread at a time.
[[gnu::always_inline]] inline std::byte* RingbufMap::place(Ring& r, u64 size, u64 length) noexcept {
  const u64 consumed = r.consumer().load(std::memory_order_acquire);
  const u64 produced = r.producer().load(std::memory_order_relaxed);
  u64 pending = r.pending;
  while (pending < produced) {
    const u32 header = r.header(pending).load(std::memory_order_relaxed);
    if ((header & Ring::busy) != 0) break;
    pending += round_to_8((header & ~Ring::discarded) + u64{Ring::header_size});
  }
  r.pending = pending;
  const u64 end = produced + length;
  if (end - consumed > r.mask || end - pending > r.mask) return nullptr;
  std::byte* header = r.data() + (produced & r.mask);
  store(header + 4, static_cast<u32>(static_cast<u64>(header - r.base()) / ringbuf_page));
  r.header(produced).store(static_cast<u32>(size) | Ring::busy, std::memory_order_relaxed);
  r.producer().store(end, std::memory_order_release);
  return header + Ring::header_size;
}

std::byte* RingbufMap::reserve(u64 size) noexcept {
  constexpr u64 max_record = UINT32_MAX / 4;
  Ring& r = ring();
  if (size > max_record) return nullptr;
  const u64 length = round_to_8(size + Ring::header_size);
  if (length > r.mask + 1) return nullptr;
  if (const WriterGate::Own own(writers_); own) return place(r, size, length);
  const WriterGate::Scope writing(writers_);
  const LockUnless lock(writing.alone(), r.lock);
  return place(r, size, length);
}

void RingbufMap::wake(Ring& ring) noexcept {
  const u64 one = 1;
  if (::write(ring.wake, &one, sizeof one) < 0) return;  // it is readable already
}

void RingbufMap::commit(std::byte* record, u64 flags, bool discard) noexcept {
  std::byte* header = record - Ring::header_size;
  // The page offset was written by us, where clients cannot write (F_SEAL_FUTURE_WRITE).
  const u64 page = reinterpret_cast<u64>(header) & ~(ringbuf_page - 1);
  Ring& r = *reinterpret_cast<Ring*>(page - u64{load<u32>(header + 4)} * ringbuf_page);
  const u64 position = static_cast<u64>(header - r.data());
  std::atomic<u32>& length = r.header(position);
  const u32 done = (length.load(std::memory_order_relaxed) & ~Ring::busy) | (discard ? Ring::discarded : 0);
  // Only who asks whether the reader waits must have published before: others need no full barrier.
  if ((flags & (no_wakeup | force_wakeup)) == no_wakeup) return length.store(done, std::memory_order_release);
  length.exchange(done, std::memory_order_seq_cst);
  const u64 consumed = r.consumer().load(std::memory_order_acquire) & r.mask;
  if ((flags & force_wakeup) != 0 || (consumed == position && (flags & no_wakeup) == 0)) wake(r);
}

int RingbufMap::output(const std::byte* data, u64 size, u64 flags) noexcept {
  if ((flags & ~(no_wakeup | force_wakeup)) != 0) return -EINVAL;
  std::byte* record = reserve(size);
  if (record == nullptr) return -EAGAIN;
  std::memcpy(record, data, size);
  commit(record, flags, false);
  return 0;
}

u64 RingbufMap::query(u64 what) noexcept {
  Ring& r = ring();
  const u64 consumed = r.consumer().load(std::memory_order_acquire);
  const u64 produced = r.producer().load(std::memory_order_acquire);
  switch (what) {
    case 0:
      return produced - consumed;
    case 1:
      return r.mask + 1;
    case 2:
      return consumed;
    case 3:
      return produced;
    default:
      return 0;
  }
}

/// 0 and the size of the record at the consumer's position; a negative errno (__bpf_user_ringbuf_peek()).
/// ENODATA: none; EAGAIN: it was discarded, and is passed over.
s64 RingbufMap::next_record(u32& size) noexcept {
  Ring& r = ring();
  const u64 produced = r.producer().load(std::memory_order_acquire);
  if (produced % 8 != 0) return -EINVAL;
  const u64 consumed = r.consumer().load(std::memory_order_relaxed);
  if (consumed >= produced) return -ENODATA;
  const u32 header = r.header(consumed).load(std::memory_order_acquire);
  const u32 flags = header & (Ring::busy | Ring::discarded);
  const u32 length = header & ~flags;
  const u64 total = round_to_8(u64{length} + Ring::header_size);
  if (total > produced - consumed) return -EINVAL;
  if (total > r.mask + 1) return -E2BIG;
  if ((flags & Ring::busy) != 0) return -ENODATA;
  if ((flags & Ring::discarded) != 0) {
    r.consumer().store(consumed + total, std::memory_order_release);
    return -EAGAIN;
  }
  size = length;
  return 0;
}

s64 RingbufMap::drain(VisitRecord visit, void* argument, u64 flags) noexcept {
  constexpr s64 max_samples = 128 * 1024;
  Ring& r = ring();
  if ((flags & ~(no_wakeup | force_wakeup)) != 0) return -EINVAL;
  if (r.draining.exchange(1, std::memory_order_acquire) != 0) return -EBUSY;
  s64 samples = 0;
  s64 result = 0;
  for (bool stop = false; samples < max_samples && !stop;) {
    u32 size = 0;
    const s64 found = next_record(size);
    if (found == -ENODATA) break;
    if (found == -EAGAIN) {
      ++samples;
      continue;
    }
    if (found != 0) {
      result = found;
      break;
    }
    const u64 consumed = r.consumer().load(std::memory_order_relaxed);
    stop = visit(argument, r.data() + (consumed & r.mask) + Ring::header_size, size) != 0;
    r.consumer().store(consumed + round_to_8(u64{size} + Ring::header_size), std::memory_order_release);
    ++samples;
  }
  r.draining.store(0, std::memory_order_release);
  if ((flags & force_wakeup) != 0 || (samples > 0 && (flags & no_wakeup) == 0)) wake(r);
  return result != 0 ? result : samples;
}

constinit const MapTypeRow ringbuf_row = {MapType::ringbuf, check, RingbufMap::make, MapTypeRow::Btf::any};
constinit const MapTypeRow user_ringbuf_row = {MapType::user_ringbuf, check, RingbufMap::make,
                                               MapTypeRow::Btf::any};

}  // namespace skep::maps
