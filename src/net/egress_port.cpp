// See egress_port.hpp. The order in which the kernel sends a packet makes it work: nftables netdev egress
// (into our TAP unless it carries our mark) -> tc egress -> the queueing discipline -> packet sockets -> the
// driver.
#include "net/egress_port.hpp"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "net/forwarder.hpp"
#include "net/inject_tap.hpp"
#include "net/interface.hpp"
#include "net/netlink.hpp"
#include "net/nft_guard.hpp"
#include "net/sender.hpp"
#include "net/tap_frames.hpp"

namespace skep::net {
namespace {

class EgressPort final : public Port {
 public:
  struct Parts {
    Interface interface;
    u32 mark;
    std::vector<ScopedSysctl> loopback;
    UniqueFd tap;
    Mapping buffers;
    Sender out;
    Forwarder forwarder;
    LinkEvents events;
    NftGuard guard;
  };
  explicit EgressPort(Parts parts) : parts_(std::move(parts)) {}
  ~EgressPort() override {
    if (state_ == PortState::open) (void)parts_.guard.close();
  }

  [[nodiscard]] u32 ifindex() const override { return parts_.interface.ifindex; }
  [[nodiscard]] int poll_fd() const override { return parts_.tap.get(); }
  [[nodiscard]] int event_fd() const override { return parts_.events.fd(); }

  u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept override {
    return read_tap_frames(parts_.tap.get(), parts_.buffers, burst, lost_);
  }

  void complete(std::span<Packet> burst) noexcept override {
    for (const Packet& packet : burst) {
      switch (packet.disposition) {
        case Disposition::drop:
          break;
        case Disposition::pass:
          parts_.out.add(packet, current_offload(packet), {ifindex(), parts_.mark, &pass_errors_});
          break;
        case Disposition::tx:
        case Disposition::redirect:
          tx_errors_.add(1);  // XDP's verdicts: no program at this hook has them
          break;
        case Disposition::forward:
        case Disposition::receive:
          parts_.forwarder.add(packet, redirect_errors_);
          break;
      }
    }
    parts_.out.flush();
    parts_.forwarder.flush();
  }

  [[nodiscard]] PortState check() noexcept override {
    parts_.events.drain();
    if (state_ == PortState::gone) return state_;
    ifreq request{};
    request.ifr_ifindex = static_cast<int>(parts_.interface.ifindex);
    if (::ioctl(parts_.out.fd(), SIOCGIFNAME, &request) != 0) {
      // At once: the table would take hold of the next interface of this name (Linux 6.16).
      (void)parts_.guard.close();
      return state_ = PortState::gone;
    }
    if (parts_.interface.name != request.ifr_name) {
      parts_.interface.name = request.ifr_name;
      if (state_ == PortState::open) (void)parts_.guard.follow(parts_.interface.name);
    }
    return state_;
  }

  /// The host sends by itself from here on; what waits in the TAP is still handed out.
  void stop_rx() noexcept override {
    if (state_ != PortState::open) return;
    state_ = PortState::ended;
    (void)parts_.guard.close();
  }

  [[nodiscard]] PortStats stats() const override {
    return {lost_.get(), pass_errors_.get(), tx_errors_.get(), redirect_errors_.get()};
  }

 private:
  Parts parts_;
  PortState state_ = PortState::open;
  Counter lost_, pass_errors_, tx_errors_, redirect_errors_;
};

/// A TAP whose frames have virtio_net_hdrs, up. Its name goes to `name`.
Result<UniqueFd> open_diversion(std::string& name) {
  UniqueFd fd = TRY(open_tun(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR));
  int header = sizeof(Offload);
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) return fail_errno("TUNSETVNETHDRSZ");
  if (::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
    return fail_errno("TUNSETOFFLOAD");
  TRY(bring_up_silently(::if_nametoindex(name.c_str())));
  return fd;
}

Result<EgressPort::Parts> take_over(const Interface& interface, const SettingsJournal& journal) {
  const u32 mark = TRY(random_mark());
  std::vector<ScopedSysctl> loopback;
  if (interface.loopback) loopback = TRY(admit_loopback(interface.name, journal));
  std::string name = "skep-eg%d";
  UniqueFd tap = TRY(open_diversion(name));
  Mapping buffers = TRY(make_burst_buffers());
  Sender out = TRY(Sender::injecting(interface.ifindex));
  Forwarder forwarder = TRY(Forwarder::open());
  LinkEvents events = TRY(LinkEvents::open());
  NftGuard guard =
      TRY(NftGuard::open_egress(interface.ifindex, interface.name, ::if_nametoindex(name.c_str())));
  TRY(guard.engage(mark));
  return EgressPort::Parts{interface,          mark,           std::move(loopback),  std::move(tap),
                           std::move(buffers), std::move(out), std::move(forwarder), std::move(events),
                           std::move(guard)};
}

}  // namespace

Result<std::unique_ptr<Port>> open_egress_port(u32 ifindex, const SettingsJournal& journal) {
  const Interface interface = TRY(look_up_interface(ifindex));
  auto parts = take_over(interface, journal);
  if (!parts) return taking_over_failed(interface, parts.error());
  return std::make_unique<EgressPort>(std::move(*parts));
}

}  // namespace skep::net
