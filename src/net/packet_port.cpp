// See packet_port.hpp. The order in which the kernel hands a received packet on makes it work: packet sockets
// (we copy it) -> tc ingress -> nftables netdev ingress (dropped unless it carries our mark) -> the stack.
#include "net/packet_port.hpp"

#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "net/forwarder.hpp"
#include "net/inject_tap.hpp"
#include "net/interface.hpp"
#include "net/nft_guard.hpp"
#include "net/packet_socket.hpp"
#include "net/ring.hpp"
#include "net/sender.hpp"

namespace skep::net {
namespace {

class PacketPort final : public Port {
 public:
  struct Parts {
    Interface interface;
    u32 mark;
    std::vector<ScopedSysctl> loopback;
    InjectTap tap;
    Sender inject;
    Sender emit;
    Forwarder forwarder;
    std::unique_ptr<PacketRing> ring;
    LinkEvents events;
    NftGuard guard;
  };
  explicit PacketPort(Parts parts) : parts_(std::move(parts)) {}
  ~PacketPort() override {
    // The table goes first: no moment without either the port or the host's stack taking packets.
    if (state_ != PortState::gone) (void)parts_.guard.close();
  }

  [[nodiscard]] u32 ifindex() const override { return parts_.interface.ifindex; }
  [[nodiscard]] int poll_fd() const override { return parts_.ring->fd(); }
  [[nodiscard]] int event_fd() const override { return parts_.events.fd(); }

  u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept override {
    return parts_.ring->receive(burst);
  }

  void complete(std::span<Packet> burst) noexcept override {
    for (const Packet& packet : burst) {
      switch (packet.disposition) {
        case Disposition::drop:
          break;
        case Disposition::pass:
          parts_.inject.add(
              packet, InjectTap::fitting(packet),
              {parts_.tap.ifindex(), parts_.mark | static_cast<u32>(type_now(packet)), &pass_errors_});
          break;
        case Disposition::tx:
          parts_.emit.add(packet, current_offload(packet), {ifindex(), 0, &tx_errors_});
          break;
        case Disposition::redirect:
          parts_.emit.add(packet, current_offload(packet), {packet.out_ifindex, 0, &redirect_errors_});
          break;
        case Disposition::forward:
        case Disposition::receive:
          parts_.forwarder.add(packet, redirect_errors_);
          break;
      }
    }
    parts_.inject.flush();
    parts_.emit.flush();
    parts_.forwarder.flush();
    parts_.ring->release();
  }

  [[nodiscard]] PortState check() noexcept override {
    parts_.events.drain();
    (void)parts_.ring->take_error();
    if (state_ == PortState::gone) return state_;
    Interface& interface = parts_.interface;
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(interface.ifindex);
    if (::ioctl(parts_.ring->fd(), SIOCGIFNAME, &request) != 0) {
      // At once: the table would take hold of the next interface of this name (Linux 6.16).
      (void)parts_.guard.close();
      return state_ = PortState::gone;
    }
    if (interface.name != request.ifr_name) {
      interface.name = request.ifr_name;
      if (state_ == PortState::open) (void)parts_.guard.follow(interface.name);
    }
    if (::ioctl(parts_.ring->fd(), SIOCGIFHWADDR, &request) == 0)
      std::memcpy(interface.address.data(), request.ifr_hwaddr.sa_data, 6);
    return state_;
  }

  void stop_rx() noexcept override {
    if (state_ != PortState::open) return;
    state_ = PortState::ended;
    // What the table dropped is in the ring by now: the ring sees a packet first. What comes from here on
    // reaches the stack by itself. Those in between are handed on twice rather than not at all.
    if (parts_.guard.let_all_pass()) parts_.ring->receive_only_waiting();
  }

  [[nodiscard]] PortStats stats() const override {
    return {parts_.ring->losses(), pass_errors_.get(), tx_errors_.get(), redirect_errors_.get()};
  }

 private:
  /// As netif_receive_generic_xdp() does: a program that changed the destination changed whom it is for.
  [[nodiscard]] PacketType type_now(const Packet& packet) const {
    constexpr u64 kSixBytes = 0xffff'ffff'ffff;
    if (packet.size() < sizeof(u64)) return packet.type;
    if (((load<u64>(packet.data) ^ packet.received_dst) & kSixBytes) == 0) return packet.type;
    return classify(packet.data, parts_.interface.address.data());
  }

  Parts parts_;
  PortState state_ = PortState::open;
  Counter pass_errors_;
  Counter tx_errors_;
  Counter redirect_errors_;
};

Result<PacketPort::Parts> take_over(const Interface& interface, const SettingsJournal& journal) {
  const u32 mark = TRY(random_mark());
  std::vector<ScopedSysctl> loopback;
  if (interface.loopback) loopback = TRY(admit_loopback(interface.name, journal));
  InjectTap tap = TRY(InjectTap::open(interface.ifindex, mark));
  Sender inject = TRY(Sender::injecting(tap.ifindex()));
  Sender emit = TRY(Sender::emitting());
  Forwarder forwarder = TRY(Forwarder::open());
  auto ring = TRY(PacketRing::open(interface.ifindex, interface.mtu, mark));
  LinkEvents events = TRY(LinkEvents::open());
  NftGuard guard = TRY(NftGuard::open(interface.ifindex, interface.name));
  // What waits until now reached the stack by itself; what comes until the table is there goes on twice.
  ring->discard_waiting();
  TRY(guard.engage(mark));
  return PacketPort::Parts{interface,
                           mark,
                           std::move(loopback),
                           std::move(tap),
                           std::move(inject),
                           std::move(emit),
                           std::move(forwarder),
                           std::move(ring),
                           std::move(events),
                           std::move(guard)};
}

}  // namespace

Result<std::unique_ptr<Port>> open_packet_port(u32 ifindex, const SettingsJournal& journal) {
  const Interface interface = TRY(look_up_interface(ifindex));
  auto parts = take_over(interface, journal);
  if (!parts) return taking_over_failed(interface, parts.error());
  return std::make_unique<PacketPort>(std::move(*parts));
}

}  // namespace skep::net
