// See socket_watch.hpp.
#include "maps/socket_watch.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace skep::maps {
namespace {

template <class T>
T option(int fd, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : T{};
}

}  // namespace

bool SocketState::inet() const { return family == AF_INET || family == AF_INET6; }
bool SocketState::tcp() const { return inet() && type == SOCK_STREAM && protocol == IPPROTO_TCP; }
bool SocketState::udp() const { return inet() && type == SOCK_DGRAM && protocol == IPPROTO_UDP; }

Result<SocketState> socket_state(int fd) {
  SocketState state;
  socklen_t size = sizeof state.family;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &state.family, &size) != 0)
    return fail(errno == EBADF ? EBADF : ENOTSOCK, "the value is no socket's descriptor");
  state.type = option<int>(fd, SOL_SOCKET, SO_TYPE);
  state.protocol = option<int>(fd, SOL_SOCKET, SO_PROTOCOL);
  state.cookie = option<u64>(fd, SOL_SOCKET, SO_COOKIE);
  state.listening = option<int>(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0;
  state.reuseport = option<int>(fd, SOL_SOCKET, SO_REUSEPORT) != 0;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (state.inet() && ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0)
    state.bound = reinterpret_cast<const sockaddr_in&>(address).sin_port != 0;  // at the same place in both
  if (state.tcp()) {
    state.connected = option<tcp_info>(fd, IPPROTO_TCP, TCP_INFO).tcpi_state == TCP_ESTABLISHED;
  } else {
    length = sizeof address;
    state.connected = ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  }
  return state;
}

/// A registration is (file, number): it stays when this descriptor is closed and goes with the file. One that
/// was there before (EEXIST) is as good.
Result<void> SocketWatch::watch(int fd, u64 cookie) {
  const std::lock_guard lock(mutex_);
  if (!epoll_) epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail_errno("epoll");
  epoll_event event{};
  event.data.u64 = cookie;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno != EEXIST)
    return fail_errno("watching a socket");
  return {};
}

std::set<u64> SocketWatch::open() const {
  std::set<u64> cookies;
  const std::lock_guard lock(mutex_);
  if (!epoll_) return cookies;
  const std::string path = "/proc/self/fdinfo/" + std::to_string(epoll_.get());
  const std::unique_ptr<FILE, int (*)(FILE*)> info(std::fopen(path.c_str(), "re"), std::fclose);
  std::array<char, 256> line{};
  while (info != nullptr && std::fgets(line.data(), line.size(), info.get()) != nullptr)
    if (const char* data = std::strstr(line.data(), "data:"); data != nullptr)
      cookies.insert(std::strtoull(data + 5, nullptr, 16));
  return cookies;
}

}  // namespace skep::maps
