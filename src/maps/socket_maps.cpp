// Maps whose elements are sockets: sockmap, sockhash (net/core/sock_map.c), reuseport_sockarray
// (kernel/bpf/reuseport_array.c), xskmap (net/xdp/xskmap.c), as user space sees them. Programs find nothing
// in them: what they would do to a socket is done inside a kernel.
#include <sys/socket.h>

#include <map>
#include <mutex>
#include <vector>

#include "maps/checks.hpp"
#include "maps/socket_watch.hpp"

namespace skep::maps {
namespace {

#ifndef AF_XDP
#define AF_XDP 44
#endif

/// Elements by key; a socket that was closed is no element any more.
class SocketMap : public Map {
 public:
  explicit SocketMap(const MapSpec& spec) : Map(spec) {}

 protected:
  using Key = std::vector<std::byte>;
  [[nodiscard]] Key key_of(const std::byte* key) const { return {key, key + facts_.key_size}; }
  [[nodiscard]] bool is_array() const { return facts_.type != MapType::sockhash; }
  [[nodiscard]] bool beyond(const std::byte* key) const {
    return is_array() && load<u32>(key) >= facts_.max_entries;
  }

  /// The socket of a value; EINVAL for numbers that are no descriptors.
  Result<SocketState> socket_of(const std::byte* value) const {
    u64 number = load<u32>(value);
    if (facts_.value_size == 8) number = load<u64>(value);
    if (facts_.value_size == 8 && number > INT32_MAX) return fail(EINVAL, "the value is no descriptor");
    return socket_state(static_cast<s32>(number));
  }
  static int fd_of(const std::byte* value) { return load<s32>(value); }

  /// Under the lock: forgets who was closed.
  void drop_closed() {
    if (elements_.empty()) return;
    const std::set<u64> open = watch_.open();
    std::erase_if(elements_, [&](const auto& element) { return !open.contains(element.second); });
  }
  /// Under the lock: 0 or what the flags forbid.
  [[nodiscard]] int check_flags_of(const Key& key, u64 flags) const {
    const bool exists = elements_.contains(key);
    if (exists && flags == uapi::NOEXIST) return -EEXIST;
    if (!exists && flags == uapi::EXIST) return -ENOENT;
    return 0;
  }
  /// Under the lock.
  int put(const Key& key, int fd, u64 cookie) {
    if (const auto watched = watch_.watch(fd, cookie); !watched) return -watched.error().code;
    elements_[key] = cookie;
    return 0;
  }

  int copy_out(const std::byte* key, std::byte* value) noexcept override {
    if (facts_.value_size != sizeof(u64)) return -ENOSPC;
    const std::lock_guard lock(mutex_);
    drop_closed();
    const auto found = elements_.find(key_of(key));
    if (found == elements_.end()) return -ENOENT;
    store(value, found->second);
    return 0;
  }

  /// Arrays: every index. sockhash: those that are there; an unknown key asks for the first.
  int next_key(const std::byte* key, std::byte* next) noexcept override {
    if (is_array()) {
      const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
      if (index == facts_.max_entries - 1) return -ENOENT;
      store(next, index >= facts_.max_entries ? u32{0} : index + 1);
      return 0;
    }
    const std::lock_guard lock(mutex_);
    drop_closed();
    auto at = elements_.begin();
    if (key != nullptr)
      if (const auto found = elements_.find(key_of(key)); found != elements_.end()) at = std::next(found);
    if (at == elements_.end()) return -ENOENT;
    std::memcpy(next, at->first.data(), facts_.key_size);
    return 0;
  }

  std::mutex mutex_;
  SocketWatch watch_;
  std::map<Key, u64> elements_;  ///< cookies
};

class SockMap final : public SocketMap {
 public:
  explicit SockMap(const MapSpec& spec) : SocketMap(spec) {}
  u64 memlock() const override {
    if (is_array()) return 376 + 8 * u64{facts_.max_entries};
    return 384 + 16 * u64{std::bit_ceil(facts_.max_entries)};
  }
  int remove(const std::byte* key) noexcept override {
    const std::lock_guard lock(mutex_);
    drop_closed();
    return elements_.erase(key_of(key)) != 0 ? 0 : is_array() ? -EINVAL : -ENOENT;
  }

 protected:
  /// sock_map_sk_is_suitable() and sock_map_sk_state_allowed().
  static bool suits(const SocketState& socket) {
    if (socket.tcp()) return socket.connected || socket.listening;
    if (socket.udp()) return socket.bound;
    if (socket.family == AF_UNIX)
      return socket.type == SOCK_DGRAM || (socket.type == SOCK_STREAM && socket.connected);
    return socket.family == AF_VSOCK && socket.connected;
  }
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override {
    if (load<s32>(value) < 0) return -EINVAL;
    const auto socket = socket_of(value);
    if (!socket) return -socket.error().code;
    if (!suits(*socket)) return -EOPNOTSUPP;
    if (flags > uapi::EXIST) return -EINVAL;
    if (beyond(key)) return -E2BIG;
    const std::lock_guard lock(mutex_);
    drop_closed();
    const Key at = key_of(key);
    if (const int error = check_flags_of(at, flags); error != 0) return error;
    if (!is_array() && !elements_.contains(at) && elements_.size() >= facts_.max_entries) return -E2BIG;
    return put(at, fd_of(value), socket->cookie);
  }
};

class ReuseportArray final : public SocketMap {
 public:
  explicit ReuseportArray(const MapSpec& spec) : SocketMap(spec) {}
  u64 memlock() const override { return 296 + 8 * u64{facts_.max_entries}; }
  int remove(const std::byte* key) noexcept override {
    if (beyond(key)) return -E2BIG;
    const std::lock_guard lock(mutex_);
    drop_closed();
    return elements_.erase(key_of(key)) != 0 ? 0 : -ENOENT;
  }

 protected:
  /// bpf_fd_reuseport_array_update_elem(): only sockets that stand in a reuseport group, and in no array.
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override {
    if (flags > uapi::EXIST) return -EINVAL;
    if (beyond(key)) return -E2BIG;
    const auto socket = socket_of(value);
    if (!socket) return -socket.error().code;
    const std::lock_guard lock(mutex_);
    drop_closed();
    const Key at = key_of(key);
    if (const int error = check_flags_of(at, flags); error != 0) return error;
    if (!socket->tcp() && !socket->udp()) return -kENOTSUPP;
    if (!socket->reuseport || !(socket->tcp() ? socket->listening : socket->bound)) return -EINVAL;
    for (const auto& [other, cookie] : elements_)
      if (cookie == socket->cookie) return -EBUSY;
    return put(at, fd_of(value), socket->cookie);
  }
};

class XskMap final : public SocketMap {
 public:
  explicit XskMap(const MapSpec& spec) : SocketMap(spec) {}
  u64 memlock() const override { return 304 + 8 * u64{facts_.max_entries}; }
  int remove(const std::byte* key) noexcept override {
    if (beyond(key)) return -EINVAL;
    const std::lock_guard lock(mutex_);
    elements_.erase(key_of(key));
    return 0;
  }

 protected:
  int copy_out(const std::byte*, std::byte*) noexcept override { return -EOPNOTSUPP; }
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override {
    if (flags > uapi::EXIST) return -EINVAL;
    if (beyond(key)) return -E2BIG;
    const auto socket = socket_of(value);
    if (!socket) return -socket.error().code;
    if (socket->family != AF_XDP) return -EOPNOTSUPP;
    const std::lock_guard lock(mutex_);
    drop_closed();
    const Key at = key_of(key);
    const auto found = elements_.find(at);
    if (found != elements_.end() && found->second == socket->cookie) return 0;
    if (const int error = check_flags_of(at, flags); error != 0) return error;
    return put(at, fd_of(value), socket->cookie);
  }
};

#define SKEP_CHECKS(...) \
  if (auto checked = (__VA_ARGS__); !checked) return std::unexpected(std::move(checked).error())

Result<void> check_xskmap(const MapSpec& spec) {
  SKEP_CHECKS(check_entries(spec));
  SKEP_CHECKS(check_key(spec, 4));
  SKEP_CHECKS(check_value(spec, 4));
  return check_flags(spec, reference_flags);
}
Result<void> check_slots(const MapSpec& spec, u32 flags) {
  SKEP_CHECKS(check_entries(spec));
  SKEP_CHECKS(check_key(spec, 4));
  SKEP_CHECKS(check_value_4_or_8(spec));
  return check_flags(spec, flags);
}
Result<void> check_sockmap(const MapSpec& spec) { return check_slots(spec, reference_flags); }
Result<void> check_reuseport(const MapSpec& spec) {
  return check_slots(spec, reference_flags | uapi::F_RDONLY_PROG | uapi::F_WRONLY_PROG);
}
Result<void> check_sockhash(const MapSpec& spec) {
  constexpr u32 max_key = 512;  // MAX_BPF_STACK
  SKEP_CHECKS(check_entries(spec));
  if (spec.key_size == 0) return fail(EINVAL, "key_size is 0");
  SKEP_CHECKS(check_value_4_or_8(spec));
  SKEP_CHECKS(check_flags(spec, reference_flags));
  if (spec.key_size > max_key)
    return fail(E2BIG, fmt::format("key_size is {}, at most {}", spec.key_size, max_key));
  return {};
}

template <class T>
Result<MapRef> make(const MapSpec& spec, const Environment&) {
  return MapRef(std::make_shared<T>(spec));
}

}  // namespace

constinit const std::array<MapTypeRow, 4> socket_rows = {{
    {MapType::xskmap, check_xskmap, make<XskMap>, MapTypeRow::Btf::no},
    {MapType::sockmap, check_sockmap, make<SockMap>, MapTypeRow::Btf::no},
    {MapType::sockhash, check_sockhash, make<SockMap>, MapTypeRow::Btf::no},
    {MapType::reuseport_sockarray, check_reuseport, make<ReuseportArray>, MapTypeRow::Btf::any},
}};

}  // namespace skep::maps
