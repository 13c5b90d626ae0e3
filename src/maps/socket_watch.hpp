// Sockets that maps have as elements. The kernel takes a socket out of its maps when the last descriptor of
// it is closed, so a map must neither keep it open nor forget to look: an epoll instance knows which files it
// watches without keeping them, and says so in its fdinfo.
#pragma once
#include <mutex>
#include <set>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::maps {

/// What the kinds of socket maps ask of a socket.
struct SocketState {
  int family = 0, type = 0, protocol = 0;
  u64 cookie = 0;      ///< SO_COOKIE, which lookups give
  bool bound = false;  ///< an inet socket with a port
  bool listening = false;
  bool connected = false;
  bool reuseport = false;
  [[nodiscard]] bool inet() const;
  [[nodiscard]] bool tcp() const;
  [[nodiscard]] bool udp() const;
};
/// EBADF: no descriptor; ENOTSOCK.
Result<SocketState> socket_state(int fd);

class SocketWatch {
 public:
  /// From now on open() has the cookie as long as a descriptor of the socket is open somewhere.
  Result<void> watch(int fd, u64 cookie);
  /// The cookies of all that were watched and are still open.
  [[nodiscard]] std::set<u64> open() const;

 private:
  mutable std::mutex mutex_;
  UniqueFd epoll_;
};

}  // namespace skep::maps
