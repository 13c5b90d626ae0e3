#include "net/sender.hpp"

#include <poll.h>

#include <cerrno>
#include <cstring>

namespace skep::net {
namespace {
/// Bytes of packets on their way that the kernel lets us have; more waits, then counts as an error.
constexpr int kInFlight = 32 << 20;
constexpr int kPatienceMs = 2;
}  // namespace

Result<Sender> Sender::emitting() {
  UniqueFd socket = TRY(open_packet_socket());
  TRY(set_option(socket, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS"));
  TRY(set_send_buffer(socket, kInFlight));
  return Sender(std::move(socket));
}

Result<Sender> Sender::queueing() {
  UniqueFd socket = TRY(open_packet_socket());
  TRY(set_send_buffer(socket, kInFlight));
  return Sender(std::move(socket));
}

Result<Sender> Sender::injecting(u32 ifindex) {
  UniqueFd socket = TRY(open_packet_socket());
  TRY(set_send_buffer(socket, kInFlight));
  TRY(bind_packet_socket(socket, ifindex, 0));
  return Sender(std::move(socket));
}

void Sender::add(const Packet& packet, const Offload& offload, const Shipment& shipment) noexcept {
  if (count_ == slots_.size()) flush();
  Slot& slot = slots_[count_++];
  slot.offload = offload;
  slot.to = {};
  slot.to.sll_family = AF_PACKET;
  slot.to.sll_ifindex = static_cast<int>(shipment.ifindex);
  slot.parts[0] = {&slot.offload, sizeof slot.offload};
  slot.parts[1] = {packet.data, packet.size()};
  slot.errors = shipment.errors;
  auto* control = reinterpret_cast<cmsghdr*>(slot.control.data());
  control->cmsg_len = shipment.mark == 0 ? 0 : CMSG_LEN(sizeof(u32));
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SO_MARK;
  std::memcpy(CMSG_DATA(control), &shipment.mark, sizeof shipment.mark);
}

void Sender::flush() noexcept {
  std::array<mmsghdr, limits::packet_burst> messages;  // NOLINT: the first count_ are filled
  for (u32 i = 0; i < count_; i++) {
    Slot& slot = slots_[i];
    const bool marked = reinterpret_cast<const cmsghdr*>(slot.control.data())->cmsg_len != 0;
    msghdr& message = messages[i].msg_hdr;
    message = {};
    message.msg_name = &slot.to;
    message.msg_namelen = sizeof slot.to;
    message.msg_iov = slot.parts.data();
    message.msg_iovlen = slot.parts.size();
    message.msg_control = marked ? slot.control.data() : nullptr;
    message.msg_controllen = marked ? slot.control.size() : 0;
  }
  bool waited = false;
  for (u32 sent = 0; sent < count_;) {
    const int done = ::sendmmsg(socket_.get(), &messages[sent], count_ - sent, MSG_DONTWAIT);
    if (done > 0) {
      sent += static_cast<u32>(done);
      waited = false;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN && !waited) {
      pollfd writable{socket_.get(), POLLOUT, 0};
      ::poll(&writable, 1, kPatienceMs);
      waited = true;
      continue;
    }
    slots_[sent].errors->add(1);
    sent++;
    waited = false;
  }
  count_ = 0;
}

}  // namespace skep::net
