#include "hooks/sockets.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

namespace skep::testing {
namespace {

constexpr u16 kIpv4 = 0x0800;
constexpr u8 kIcmp = 1, kUdp = 17;

void swap_bytes(XdpBuff& xdp, u32 a, u32 b, u32 count) {
  for (u32 i = 0; i < count; i++) std::swap(xdp.data[a + i], xdp.data[b + i]);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address address_of(const std::string& text, u16 port) {
  Address made;
  if (text.find(':') != std::string::npos) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    ::inet_pton(AF_INET6, text.c_str(), &in6->sin6_addr);
    made.size = sizeof *in6;
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&made.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    ::inet_pton(AF_INET, text.c_str(), &in->sin_addr);
    made.size = sizeof *in;
  }
  return made;
}

UniqueFd socket_in(const Namespace& ns, int family, int type, int timeout_s) {
  UniqueFd fd;
  ns.inside([&] { fd.reset(::socket(family, type | SOCK_CLOEXEC, 0)); });
  const timeval limit{timeout_s, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

std::byte nth_byte(long n) { return std::byte(n * 31 + (n >> 8)); }

}  // namespace

Mac mac_of(const Namespace& ns, const std::string& name) {
  Mac mac{};
  ns.inside([&] {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    name.copy(request.ifr_name, sizeof request.ifr_name - 1);
    ASSERT_EQ(::ioctl(fd.get(), SIOCGIFHWADDR, &request), 0);
    std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  });
  return mac;
}

u64 forward_ipv4(const void* self, void* ctx, RunContext* rc) {
  XdpBuff& xdp = buff(ctx);
  if (be16_at(xdp, 12) != kIpv4) return uapi::XDP_PASS;
  const auto& exit = *static_cast<const Exit*>(self);
  std::memcpy(xdp.data, exit.to.data(), 6);
  std::memcpy(xdp.data + 6, exit.from.data(), 6);
  rc->redirect.ifindex = exit.ifindex;
  return uapi::XDP_REDIRECT;
}

u64 answer_echo(const void*, void* ctx, RunContext*) {
  XdpBuff& xdp = buff(ctx);
  if (be16_at(xdp, 12) != kIpv4 || byte_at(xdp, 23) != kIcmp || byte_at(xdp, 34) != 8) return uapi::XDP_PASS;
  swap_bytes(xdp, 0, 6, 6);
  swap_bytes(xdp, 26, 30, 4);
  xdp.data[34] = std::byte{0};
  // Type 8 became 0: the checksum, a complement, grows by 0x0800 (RFC 1624).
  u32 sum = be16_at(xdp, 36) + 0x0800U;
  sum = (sum & 0xffff) + (sum >> 16);
  xdp.data[36] = std::byte(sum >> 8);
  xdp.data[37] = std::byte(sum);
  return uapi::XDP_TX;
}

u64 rewrite_udp_port(const void*, void* ctx, RunContext*) {
  XdpBuff& xdp = buff(ctx);
  if (be16_at(xdp, 12) == kIpv4 && byte_at(xdp, 23) == kUdp && be16_at(xdp, 36) == 7777) {
    xdp.data[36] = std::byte{7778 >> 8};
    xdp.data[37] = std::byte{7778 & 0xff};
    xdp.data[40] = xdp.data[41] = std::byte{0};  // no checksum
  }
  return uapi::XDP_PASS;
}

u64 to_a_stranger(const void*, void* ctx, RunContext*) {
  XdpBuff& xdp = buff(ctx);
  if (be16_at(xdp, 12) == kIpv4) xdp.data[5] ^= std::byte{0x55};
  return uapi::XDP_PASS;
}

std::string udp_through(const Namespace& from, const Namespace& to, const std::string& address, u16 port,
                        u16 listen_port, const std::string& text) {
  const Address there = address_of(address, port), here = address_of(address, listen_port);
  const UniqueFd receiver = socket_in(to, there.storage.ss_family, SOCK_DGRAM, 1);
  EXPECT_EQ(::bind(receiver.get(), here.get(), here.size), 0);
  const UniqueFd sender = socket_in(from, there.storage.ss_family, SOCK_DGRAM, 1);
  EXPECT_EQ(::sendto(sender.get(), text.data(), text.size(), 0, there.get(), there.size),
            ssize_t(text.size()));
  std::string got(70000, '\0');
  const ssize_t size = ::recv(receiver.get(), got.data(), got.size(), 0);
  got.resize(size > 0 ? std::size_t(size) : 0);
  return got;
}

long tcp_through(const Namespace& from, const Namespace& to, const std::string& address, long bytes) {
  const Address there = address_of(address, 5001);
  const UniqueFd listener = socket_in(to, there.storage.ss_family, SOCK_STREAM, 20);
  int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.get(), there.get(), there.size) != 0 || ::listen(listener.get(), 1) != 0) return -1;
  std::thread sender([&] {
    const UniqueFd out = socket_in(from, there.storage.ss_family, SOCK_STREAM, 20);
    if (::connect(out.get(), there.get(), there.size) != 0) return;
    std::array<std::byte, 65536> chunk{};
    for (long sent = 0; sent < bytes;) {
      const auto size = std::min<long>(bytes - sent, long(chunk.size()));
      for (long i = 0; i < size; i++) chunk[std::size_t(i)] = nth_byte(sent + i);
      const ssize_t done = ::send(out.get(), chunk.data(), std::size_t(size), MSG_NOSIGNAL);
      if (done <= 0) return;
      sent += done;
    }
  });
  long good = 0;
  {
    const UniqueFd in(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<std::byte, 65536> chunk{};
    for (bool same = true; same && good < bytes;) {
      const ssize_t got = ::recv(in.get(), chunk.data(), chunk.size(), 0);
      if (got <= 0) break;
      for (long i = 0; i < got && same; i++) {
        same = chunk[std::size_t(i)] == nth_byte(good);
        if (same) good++;
      }
    }
  }
  sender.join();
  return good;
}

}  // namespace skep::testing
