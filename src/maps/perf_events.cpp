// See perf_events.hpp.
#include "maps/perf_events.hpp"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bit>

#include "base/rcu.hpp"
#include "maps/checks.hpp"
#include "maps/spin.hpp"

namespace skep::maps {
namespace {

constexpr u64 page = 4096;
constexpr u32 most_unasked = 64;      ///< records that a reader which has gone may get
constexpr u32 most_pages = 1u << 15;  ///< of data: 128 MiB a ring
/// perf_event_header::size has 16 bits and is a multiple of 8.
constexpr u64 longest_record = 0xfff8;

struct LostRecord {
  perf_event_header header;
  u64 id, lost;
};
/// In front of a sample's bytes.
struct SampleRecord {
  perf_event_header header;
  u64 time;
  u32 size;
} __attribute__((packed));
static_assert(sizeof(LostRecord) == 24 && sizeof(SampleRecord) == 20);

u64 now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1000000000 + static_cast<u64>(now.tv_nsec);
}

}  // namespace

/// The writing side of a ring. What the reader writes, data_tail, is taken as hostile; our own position is
/// never read back from shared memory.
class PerfEvent {
 public:
  PerfEvent(u32 cpu, u64 id, Mapping memory, UniqueFd wake)
      : cpu_(cpu), id_(id), memory_(std::move(memory)), wake_(std::move(wake)) {}

  [[nodiscard]] u32 cpu() const { return cpu_; }
  enum class Written : u8 { yes, no_room, reader_gone };
  Written write(ByteView first, ByteView second) noexcept;

 private:
  perf_event_mmap_page& control() { return *reinterpret_cast<perf_event_mmap_page*>(memory_.data()); }
  [[nodiscard]] u64 capacity() const { return memory_.size() - page; }
  void put(ByteView bytes) noexcept;
  /// False: every copy of the reader's end is closed.
  bool wake() noexcept;

  u32 cpu_;
  u64 id_;
  Mapping memory_;
  UniqueFd wake_;
  std::atomic<u32> locked_{0};
  // Under the lock.
  u64 head_ = 0;
  u64 lost_ = 0;
  u32 unasked_ = 0;  ///< records since the reader was last woken
};

void PerfEvent::put(ByteView bytes) noexcept {
  std::byte* data = memory_.data() + page;
  const u64 at = head_ & (capacity() - 1);
  const u64 fits = std::min<u64>(bytes.size(), capacity() - at);
  if (fits != 0) std::memcpy(data + at, bytes.data(), fits);
  if (fits != bytes.size()) std::memcpy(data, bytes.data() + fits, bytes.size() - fits);
  head_ += bytes.size();
}

bool PerfEvent::wake() noexcept {
  const char one = 1;
  if (::send(wake_.get(), &one, sizeof one, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
  return errno != EPIPE && errno != ECONNRESET;  // EAGAIN: it is readable already
}

/// __perf_output_begin() and perf_output_end(), for a ring that does not overwrite.
PerfEvent::Written PerfEvent::write(ByteView first, ByteView second) noexcept {
  for (Backoff backoff; locked_.exchange(1, std::memory_order_acquire) != 0;) backoff.wait();
  SampleRecord sample{};
  const u64 bytes = first.size() + second.size();
  // perf_sample_save_raw_data(): the size and the bytes together are a multiple of 8.
  sample.size = static_cast<u32>(((bytes + sizeof(u32) + 7) & ~u64{7}) - sizeof(u32));
  sample.header.type = PERF_RECORD_SAMPLE;
  sample.header.size = static_cast<u16>(sizeof sample + sample.size);
  sample.time = now_ns();
  const u64 begin = head_;
  std::atomic_ref<__u64> head(control().data_head);
  std::atomic_ref<__u64> tail(control().data_tail);
  const u64 length = sample.header.size + (lost_ != 0 ? sizeof(LostRecord) : 0);
  const u64 used = begin - tail.load(std::memory_order_acquire);
  const bool room = used < capacity() && capacity() - used > length;
  if (room) {
    if (lost_ != 0) {
      put(bytes_of(LostRecord{{PERF_RECORD_LOST, 0, sizeof(LostRecord)}, id_, lost_}));
      lost_ = 0;
    }
    constexpr std::array<std::byte, 8> padding{};
    put(bytes_of(sample));
    put(first);
    put(second);
    put(ByteView(padding).first(sample.size - bytes));
    head.store(head_, std::memory_order_seq_cst);
  } else {
    ++lost_;
  }
  // A reader that has not seen what came before will look again by itself (consumers/event_reader.cpp).
  // Whether it is still there is asked now and then.
  const bool asleep = tail.load(std::memory_order_seq_cst) == begin;
  const bool ask = !room || asleep || ++unasked_ == most_unasked;
  if (ask) unasked_ = 0;
  locked_.store(0, std::memory_order_release);
  if (ask && !wake()) return Written::reader_gone;
  return room ? Written::yes : Written::no_room;
}

PerfEventArray::~PerfEventArray() {
  for (u32 i = 0; used_ && i < facts_.max_entries; ++i) delete slot(i).load(std::memory_order_relaxed);
}

namespace {

void let_go(PerfEvent* gone) {
  if (gone != nullptr) rcu::defer(gone, [](void* event) { delete static_cast<PerfEvent*>(event); });
}

}  // namespace

Result<EventRing> PerfEventArray::events(const EventSpec& spec) {
  if (spec.index >= facts_.max_entries)
    return fail(E2BIG, fmt::format("map {} has no slot {}", facts_.id, spec.index));
  if (!std::has_single_bit(spec.pages) || spec.pages > most_pages)
    return fail(EINVAL, fmt::format("{} pages are no power of two up to {}", spec.pages, most_pages));
  EventRing ring;
  ring.size = (1 + u64{spec.pages}) * page;
  ring.memory.reset(::memfd_create("skep-perf-event", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!ring.memory || ::ftruncate(ring.memory.get(), static_cast<off_t>(ring.size)) != 0 ||
      ::fcntl(ring.memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail_errno("a perf event's ring");
  auto memory =
      TRY(Mapping::map(ring.size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.memory.get(), 0, "a perf event"));
  auto& control = *reinterpret_cast<perf_event_mmap_page*>(memory.data());
  control.data_offset = page;
  control.data_size = ring.size - page;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return fail_errno("a perf event");
  ring.wake.reset(ends[1]);
  auto* fresh =
      new PerfEvent(spec.cpu, (u64{facts_.id} << 32) + spec.index, std::move(memory), UniqueFd(ends[0]));
  used_ = true;
  let_go(slot(spec.index).exchange(fresh, std::memory_order_acq_rel));
  return ring;
}

int PerfEventArray::output(u32 index, u32 cpu, ByteView first, ByteView second) noexcept {
  if (index == current_cpu) index = cpu;
  if (index >= facts_.max_entries) return -E2BIG;
  PerfEvent* event = slot(index).load(std::memory_order_acquire);
  if (event == nullptr) return -ENOENT;
  if (event->cpu() != cpu) return -EOPNOTSUPP;
  if (sizeof(SampleRecord) + first.size() + second.size() > longest_record) return -E2BIG;
  switch (event->write(first, second)) {
    case PerfEvent::Written::yes:
      return 0;
    case PerfEvent::Written::no_room:
      return -ENOSPC;
    case PerfEvent::Written::reader_gone:
      break;
  }
  if (PerfEvent* mine = event; slot(index).compare_exchange_strong(mine, nullptr)) let_go(event);
  return -ENOENT;
}

int PerfEventArray::remove(const std::byte* key) noexcept {
  const u32 index = load<u32>(key);
  if (index >= facts_.max_entries) return -E2BIG;
  PerfEvent* gone = slot(index).exchange(nullptr, std::memory_order_acq_rel);
  let_go(gone);
  return gone != nullptr ? 0 : -ENOENT;
}

/// bpf_fd_array_map_update_elem(): the order of its errors. A perf event of the machine is another kernel's.
int PerfEventArray::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  if (flags != uapi::ANY) return -EINVAL;
  if (load<u32>(key) >= facts_.max_entries) return -E2BIG;
  const std::string link = "/proc/self/fd/" + std::to_string(load<s32>(value));
  std::array<char, 64> target{};
  const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
  const bool is_event = size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) ==
                                        "anon_inode:[perf_event]";
  return is_event ? -EOPNOTSUPP : -EBADF;
}

int PerfEventArray::next_key(const std::byte* key, std::byte* next) noexcept {
  const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
  if (index == facts_.max_entries - 1) return -ENOENT;
  store(next, index >= facts_.max_entries ? u32{0} : index + 1);
  return 0;
}

namespace {

/// perf_event_fd_array's fd_array_map_alloc_check()
Result<void> check(const MapSpec& spec) {
  if (auto ok = check_entries(spec); !ok) return ok;
  if (auto ok = check_key(spec, 4); !ok) return ok;
  if (auto ok = check_value(spec, 4); !ok) return ok;
  return check_flags(spec, reference_flags | uapi::F_PRESERVE_ELEMS);
}

}  // namespace

Result<MapRef> PerfEventArray::make(const MapSpec& spec, const Environment&) {
  auto memory = TRY(Mapping::map(u64{spec.max_entries} * sizeof(PerfEvent*), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "perf_event_array"));
  return MapRef(new PerfEventArray(spec, std::move(memory)));
}

constinit const MapTypeRow perf_event_array_row = {MapType::perf_event_array, check, PerfEventArray::make,
                                                   MapTypeRow::Btf::no};

}  // namespace skep::maps
