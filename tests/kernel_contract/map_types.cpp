// Every map type, empty, under the same operations: which errno each answers. Data, recorded from Linux 6.18;
// the running kernel is asked the same, so a wrong row shows there. Then what types with sockets hold.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fd.hpp"
#include "kernel_contract/contract.hpp"

namespace skep::contract {
namespace {

struct MapTypeAnswers {
  MapType type;
  u32 key, value, entries, flags;
  const char* name;
  bool descriptors;  ///< values are descriptors: -1 is written, else zeros
  /// One word an operation, in the order of map_type_answers().
  const char* answers;
};

/// `far` is no index of any of these maps.
std::string map_type_answers(Kernel& kernel, int fd, const MapTypeAnswers& row, u64 value_bytes) {
  std::vector<std::byte> key(row.key), far(row.key, std::byte{0x7f}), next(row.key);
  std::vector<std::byte> value(value_bytes, std::byte{0});
  if (row.descriptors) std::ranges::fill(std::span(value).first(4), std::byte{0xff});
  std::vector<std::byte> out(value_bytes);
  std::string said;
  const auto say = [&](int code) { said += std::to_string(code) + " "; };
  say(error_of(kernel.map_lookup_elem(fd, key, out, 0)));
  say(error_of(kernel.map_lookup_elem(fd, far, out, 0)));
  say(error_of(kernel.map_lookup_elem(fd, key, out, uapi::LOCK)));
  say(error_of(kernel.map_get_next_key(fd, {}, next)));
  say(error_of(kernel.map_get_next_key(fd, far, next)));
  say(error_of(kernel.map_delete_elem(fd, key)));
  say(error_of(kernel.map_delete_elem(fd, far)));
  say(error_of(kernel.map_lookup_and_delete_elem(fd, key, out)));
  for (const u64 flags : {2u, 0u, 1u, 3u, 4u, 8u})
    say(error_of(kernel.map_update_elem(fd, key, value, flags)));
  say(error_of(kernel.map_update_elem(fd, far, value, 2)));
  say(error_of(kernel.map_freeze(fd)));
  say(error_of(kernel.map_update_elem(fd, key, value, 0)));
  say(error_of(kernel.map_freeze(fd)));
  return said;
}

constexpr MapTypeAnswers map_types[] = {
    {MapType::hash, 4, 8, 4, 0, "hash", false, "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::hash, 512, 8, 4, 0, "hash_512", false, "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::hash, 4, 8, 4, uapi::F_NO_PREALLOC, "hash_no_prealloc", false,
     "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::array, 4, 8, 4, 0, "array", false, "0 2 22 0 0 22 22 524 0 0 17 22 22 22 7 0 1 1 "},
    {MapType::prog_array, 4, 4, 4, 0, "prog_array", true, "2 2 22 0 0 2 7 524 22 9 22 22 22 22 22 0 1 1 "},
    {MapType::perf_event_array, 4, 4, 4, 0, "perf_event_array", true,
     "524 524 22 0 0 2 7 524 22 9 22 22 22 22 22 0 1 1 "},
    {MapType::percpu_hash, 4, 8, 4, 0, "percpu_hash", false, "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::percpu_array, 4, 8, 4, 0, "percpu_array", false,
     "0 2 22 0 0 22 22 524 0 0 17 22 22 22 7 0 1 1 "},
    {MapType::stack_trace, 4, 8, 4, 0, "stack_trace", false, "2 2 22 2 2 2 7 2 22 22 22 22 22 22 22 0 1 1 "},
    {MapType::cgroup_array, 4, 4, 4, 0, "cgroup_array", true,
     "524 524 22 0 0 2 7 524 22 9 22 22 22 22 22 0 1 1 "},
    {MapType::lru_hash, 4, 8, 4, 0, "lru_hash", false, "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::lru_percpu_hash, 4, 8, 4, 0, "lru_percpu_hash", false,
     "2 2 22 2 2 2 2 2 2 0 17 22 22 22 2 0 1 1 "},
    {MapType::lpm_trie, 8, 8, 4, uapi::F_NO_PREALLOC, "lpm_trie", false,
     "2 2 22 2 2 2 22 524 2 0 17 22 22 22 22 0 1 1 "},
    {MapType::devmap, 4, 4, 4, 0, "devmap", false, "2 2 22 0 0 0 22 524 0 0 17 22 22 22 7 0 1 1 "},
    {MapType::devmap_hash, 4, 4, 4, 0, "devmap_hash", false,
     "2 2 22 2 2 2 2 524 22 22 22 22 22 22 22 0 1 1 "},
    {MapType::sockmap, 4, 4, 4, 0, "sockmap", true, "28 28 22 0 0 22 22 524 22 22 22 22 22 22 22 0 1 1 "},
    {MapType::sockmap, 4, 8, 4, 0, "sockmap_8", true, "2 2 22 0 0 22 22 524 22 22 22 22 22 22 22 0 1 1 "},
    {MapType::cpumap, 4, 4, 2, 0, "cpumap", false, "2 2 22 0 0 0 22 524 0 0 17 22 22 22 7 0 1 1 "},
    {MapType::xskmap, 4, 4, 4, 0, "xskmap", true, "95 95 22 0 0 0 22 524 9 9 9 22 22 22 7 0 1 1 "},
    {MapType::sockhash, 4, 4, 4, 0, "sockhash", true, "28 28 22 2 2 2 2 524 22 22 22 22 22 22 22 0 1 1 "},
    {MapType::reuseport_sockarray, 4, 4, 4, 0, "reuseport_sockarray", true,
     "28 28 22 0 0 2 7 524 9 9 9 22 22 22 7 0 1 1 "},
    {MapType::reuseport_sockarray, 4, 8, 4, 0, "reuseport_sockarray_8", true,
     "2 2 22 0 0 2 7 524 22 22 22 22 22 22 7 0 1 1 "},
    {MapType::queue, 0, 8, 4, 0, "queue", false, "2 2 22 22 22 22 22 2 0 0 22 22 22 22 0 0 1 1 "},
    {MapType::stack, 0, 8, 4, 0, "stack", false, "2 2 22 22 22 22 22 2 0 0 22 22 22 22 0 0 1 1 "},
    {MapType::ringbuf, 0, 0, 4096, 0, "ringbuf", false,
     "524 524 22 524 524 524 524 524 524 524 524 524 22 524 524 0 1 1 "},
    {MapType::bloom_filter, 0, 8, 4, 0, "bloom_filter", false,
     "2 2 22 95 95 95 95 524 22 0 22 22 22 22 22 0 1 1 "},
    {MapType::user_ringbuf, 0, 0, 4096, 0, "user_ringbuf", false,
     "524 524 22 524 524 524 524 524 524 524 524 524 22 524 524 0 1 1 "},
};

TEST_P(KernelContract, EveryMapTypeAnswersAsLinuxDoes) {
  const u64 cpus = *kernel().possible_cpus();
  for (const MapTypeAnswers& row : map_types) {
    const Handle made = map(map_spec(row.type, row.key, row.value, row.entries, row.flags));
    const bool percpu = row.type == MapType::percpu_hash || row.type == MapType::percpu_array ||
                        row.type == MapType::lru_percpu_hash;
    EXPECT_EQ(map_type_answers(kernel(), made.fd(), row, percpu ? (row.value + 7) / 8 * 8 * cpus : row.value),
              row.answers)
        << row.name;
  }
}

TEST_P(KernelContract, ArraysMappedForWritingAreNotFrozen) {
  const Handle made = map(map_spec(MapType::array, 4, 8, 4, uapi::F_MMAPABLE));
  const u32 key = 1;
  const u64 value = 7;
  {
    const auto memory = kernel().map_memory(made.fd());
    ASSERT_TRUE(memory.has_value()) << memory.error().what;
    auto mapping = Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(),
                                static_cast<s64>(memory->offset), "array");
    ASSERT_TRUE(mapping.has_value()) << mapping.error().what;
    EXPECT_EQ(error_of(kernel().map_freeze(made.fd())), EBUSY);
    EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), 0)), 0);
    EXPECT_EQ(skep::load<u64>(mapping->data() + memory->stride), value);
    // One for reading alone does not matter.
    *mapping = *Mapping::map(memory->size, PROT_READ, MAP_SHARED, memory->fd.get(),
                             static_cast<s64>(memory->offset), "array");
    EXPECT_EQ(error_of(kernel().map_freeze(made.fd())), 0);
  }
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), 0)), EPERM);
}

/// Two connected TCP sockets on the loopback interface, and what listens.
struct Sockets {
  UniqueFd listener, client, server;
  Sockets() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    server.reset(::accept(listener.get(), nullptr, nullptr));
    EXPECT_TRUE(server);
  }
};
u64 cookie_of(int fd) {
  u64 cookie = 0;
  socklen_t size = sizeof cookie;
  EXPECT_EQ(::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
  return cookie;
}

TEST_P(KernelContract, SocketMapsHoldSocketsUntilTheyAreClosed) {
  for (const MapType type : {MapType::sockmap, MapType::sockhash}) {
    SCOPED_TRACE(map_type_name(type));
    const bool array = type == MapType::sockmap;
    const Handle made = map(map_spec(type, 4, 8, 2));
    Sockets sockets;
    const u32 a = 0, b = 1, c = 7;
    const auto put = [&](u32 key, int fd, u64 flags) {
      const u64 value = static_cast<u32>(fd);
      return error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), flags));
    };
    const auto look = [&](u32 key) -> s64 {
      u64 cookie = 0;
      const int error = error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), mut_bytes_of(cookie)));
      return error != 0 ? -error : static_cast<s64>(cookie);
    };
    const UniqueFd idle(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd unbound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(put(a, 99999, 0), EBADF);
    EXPECT_EQ(put(a, file.get(), 0), ENOTSOCK);
    EXPECT_EQ(put(a, idle.get(), 0), EOPNOTSUPP);
    EXPECT_EQ(put(a, unbound.get(), 0), EOPNOTSUPP);
    const u64 too_big = u64{1} << 32;
    EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(a), bytes_of(too_big), 0)), EINVAL);
    EXPECT_EQ(put(a, sockets.client.get(), uapi::EXIST), ENOENT);
    EXPECT_EQ(put(a, sockets.client.get(), 0), 0);
    EXPECT_EQ(put(a, sockets.client.get(), uapi::NOEXIST), EEXIST);
    EXPECT_EQ(put(a, sockets.client.get(), 3), EINVAL);
    EXPECT_EQ(put(b, sockets.listener.get(), uapi::NOEXIST), 0);
    EXPECT_EQ(put(c, sockets.server.get(), 0), E2BIG);
    EXPECT_EQ(look(a), static_cast<s64>(cookie_of(sockets.client.get())));
    EXPECT_EQ(put(a, sockets.server.get(), uapi::EXIST), 0);
    EXPECT_EQ(look(a), static_cast<s64>(cookie_of(sockets.server.get())));
    EXPECT_EQ(look(b), static_cast<s64>(cookie_of(sockets.listener.get())));
    sockets.server.reset();
    EXPECT_EQ(look(a), -ENOENT) << "the map does not keep it open";
    EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(a))), array ? EINVAL : ENOENT);
    EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(b))), 0);
    EXPECT_EQ(look(b), -ENOENT);
    u32 next = 77;
    EXPECT_EQ(error_of(kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(next))), array ? 0 : ENOENT);
  }
}

TEST_P(KernelContract, ReuseportArraysTakeOnlySocketsOfGroups) {
  const Handle made = map(map_spec(MapType::reuseport_sockarray, 4, 8, 2));
  const auto udp = [](bool reuse) {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int on = reuse ? 1 : 0;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  };
  const auto put = [&](u32 key, int fd, u64 flags = 0) {
    const u64 value = static_cast<u32>(fd);
    return error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), flags));
  };
  const UniqueFd alone = udp(false), second = udp(true);
  UniqueFd first = udp(true);
  const UniqueFd unix_socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(put(0, alone.get()), EINVAL);
  EXPECT_EQ(put(0, unix_socket.get()), kENOTSUPP);
  EXPECT_EQ(put(5, first.get()), E2BIG);
  EXPECT_EQ(put(0, first.get(), uapi::EXIST), ENOENT);
  EXPECT_EQ(put(0, first.get()), 0);
  EXPECT_EQ(put(0, first.get()), EBUSY);
  EXPECT_EQ(put(1, first.get()), EBUSY);
  EXPECT_EQ(put(1, second.get()), 0);
  EXPECT_EQ(put(1, second.get(), uapi::NOEXIST), EEXIST);
  const u32 key = 0;
  u64 cookie = 0;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), mut_bytes_of(cookie))), 0);
  EXPECT_EQ(cookie, cookie_of(first.get()));
  first.reset();
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), mut_bytes_of(cookie))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(key))), ENOENT);
}

TEST_P(KernelContract, XskMapsTakeXdpSockets) {
  const Handle made = map(map_spec(MapType::xskmap, 4, 4, 2));
  const UniqueFd xdp(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!xdp) GTEST_SKIP() << "no AF_XDP socket is to be had here";
  const UniqueFd other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto put = [&](u32 key, int fd, u64 flags = 0) {
    return error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(fd), flags));
  };
  const u32 key = 0;
  EXPECT_EQ(put(0, other.get()), EOPNOTSUPP);
  EXPECT_EQ(put(9, 99999), E2BIG);
  EXPECT_EQ(put(0, xdp.get(), uapi::EXIST), ENOENT);
  EXPECT_EQ(put(0, xdp.get()), 0);
  EXPECT_EQ(put(0, xdp.get(), uapi::NOEXIST), 0) << "the same one again";
  u32 value = 0;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), mut_bytes_of(value))), EOPNOTSUPP);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(key))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(key))), 0);
}

}  // namespace
}  // namespace skep::contract
