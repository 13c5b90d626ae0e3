// See perf_events.hpp.
#include "maps/perf_events.hpp"

#include <sys/socket.h>

#include "base/rcu.hpp"
#include "maps/checks.hpp"

namespace skep::maps {

PerfEventArray::~PerfEventArray() { delete reader_.load(std::memory_order_relaxed); }

Result<UniqueFd> PerfEventArray::events() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail_errno("a channel for events");
  UniqueFd theirs(ends[1]);
  auto* fresh = new Reader;
  fresh->fd = UniqueFd(ends[0]);
  constexpr int room = 8 << 20;  // cut to what the system allows
  ::setsockopt(fresh->fd.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (Reader* old = reader_.exchange(fresh, std::memory_order_acq_rel); old != nullptr)
    rcu::defer(old, [](void* gone) { delete static_cast<Reader*>(gone); });
  return theirs;
}

int PerfEventArray::output(u32 index, u32 cpu, ByteView first, ByteView second) noexcept {
  if (index == current_cpu) index = cpu;
  if (index >= facts_.max_entries) return -E2BIG;
  Reader* reader = reader_.load(std::memory_order_acquire);
  if (reader == nullptr) return -ENOENT;
  PerfEvent record;
  record.cpu = cpu;
  record.size = static_cast<u32>(first.size() + second.size());
  record.lost = reader->lost.exchange(0, std::memory_order_relaxed);
  const auto part = [](ByteView bytes) {
    return iovec{const_cast<std::byte*>(bytes.data()), bytes.size()};  // NOLINT: sendmsg only reads
  };
  std::array<iovec, 3> parts = {part(bytes_of(record)), part(first), part(second)};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (::sendmsg(reader->fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
  reader->lost.fetch_add(record.lost + 1, std::memory_order_relaxed);
  return errno == EPIPE || errno == ECONNRESET ? -ENOENT : -ENOSPC;
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

Result<MapRef> make(const MapSpec& spec, const Environment&) {
  return MapRef(std::make_shared<PerfEventArray>(spec));
}

}  // namespace

constinit const MapTypeRow perf_event_array_row = {MapType::perf_event_array, check, make,
                                                   MapTypeRow::Btf::no};

}  // namespace skep::maps
