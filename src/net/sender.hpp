// Sends packets in batches through one AF_PACKET socket, straight from where they were received. Two uses:
// into a TAP that leads to an interface's ingress, with a mark (injecting), and out of interfaces, past the
// queueing disciplines as XDP_TX and XDP_REDIRECT do (emitting).
#pragma once
#include <netinet/in.h>

#include <array>

#include "base/fd.hpp"
#include "net/packet_socket.hpp"
#include "net/port.hpp"

namespace skep::net {

/// A packet of a batch: where it goes and who is told if it could not.
struct Shipment {
  u32 ifindex = 0;
  u32 mark = 0;  ///< SO_MARK; 0: none
  Counter* errors = nullptr;
};

class Sender {
 public:
  /// To any interface of the network namespace, by PACKET_QDISC_BYPASS.
  static Result<Sender> emitting();
  /// To any interface of the network namespace, through its egress hooks and queueing discipline.
  static Result<Sender> queueing();
  /// To one interface through its queueing discipline, which is what redirects.
  static Result<Sender> injecting(u32 ifindex);

  /// Adds a packet, whose bytes must stay until flush(), to be sent with `offload`.
  void add(const Packet& packet, const Offload& offload, const Shipment& shipment) noexcept;
  void flush() noexcept;
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  explicit Sender(UniqueFd socket) : socket_(std::move(socket)) {}
  struct Slot {
    Offload offload;
    sockaddr_ll to;
    std::array<iovec, 2> parts;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(u32))> control;
    Counter* errors;
  };
  UniqueFd socket_;
  std::array<Slot, limits::packet_burst> slots_{};
  u32 count_ = 0;
};

}  // namespace skep::net
