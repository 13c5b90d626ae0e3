// See tap_port.hpp. One system call a packet: a TAP has no batches. Checksum and segmentation work travels in
// a virtio_net_hdr before each frame (IFF_VNET_HDR).
#include "net/tap_port.hpp"

#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "net/forwarder.hpp"
#include "net/tap_frames.hpp"

namespace skep::net {
namespace {

class TapPort final : public Port {
 public:
  TapPort(UniqueFd fd, u32 ifindex, Mapping buffers, Sender emit, Forwarder forwarder)
      : fd_(std::move(fd)),
        ifindex_(ifindex),
        buffers_(std::move(buffers)),
        emit_(std::move(emit)),
        forwarder_(std::move(forwarder)) {}

  [[nodiscard]] u32 ifindex() const override { return ifindex_; }
  [[nodiscard]] int poll_fd() const override { return fd_.get(); }

  u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept override {
    if (state_ != PortState::open) return 0;
    return read_tap_frames(fd_.get(), buffers_, burst, lost_);
  }

  void complete(std::span<Packet> burst) noexcept override {
    for (const Packet& packet : burst) {
      switch (packet.disposition) {
        case Disposition::drop:
          break;
        case Disposition::pass:
          if (!write_tap_frame(fd_.get(), packet)) pass_errors_.add(1);
          break;
        case Disposition::tx:
          if (!write_tap_frame(fd_.get(), packet)) tx_errors_.add(1);
          break;
        case Disposition::redirect:
          emit_.add(packet, current_offload(packet), {packet.out_ifindex, 0, &redirect_errors_});
          break;
        case Disposition::forward:
        case Disposition::receive:
          forwarder_.add(packet, redirect_errors_);
          break;
      }
    }
    emit_.flush();
    forwarder_.flush();
  }

  [[nodiscard]] PortState check() noexcept override {
    ifreq request{};
    if (state_ == PortState::open && ::ioctl(fd_.get(), TUNGETIFF, &request) != 0) state_ = PortState::gone;
    return state_;
  }

  /// What waits in the TAP's queue was sent but is not received yet: nobody takes it.
  void stop_rx() noexcept override {
    if (state_ == PortState::open) state_ = PortState::ended;
  }

  [[nodiscard]] PortStats stats() const override {
    return {lost_.get(), pass_errors_.get(), tx_errors_.get(), redirect_errors_.get()};
  }

 private:
  UniqueFd fd_;
  u32 ifindex_;
  Mapping buffers_;
  Sender emit_;
  Forwarder forwarder_;
  PortState state_ = PortState::open;
  Counter lost_, pass_errors_, tx_errors_, redirect_errors_;
};

}  // namespace

bool TapDevice::gone() const {
  ifreq request{};
  return ::ioctl(fd_.get(), TUNGETIFF, &request) != 0;
}

Result<TapDevice> TapDevice::create(std::string name) {
  if (name.empty() || name.find_first_of("/%: \t\n") != std::string::npos)
    return fail(EINVAL, fmt::format("\"{}\" is no interface name", name));
  if (::if_nametoindex(name.c_str()) != 0) return fail(EEXIST, fmt::format("interface {} exists", name));
  UniqueFd fd = TRY(open_tun(name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR));
  int header = sizeof(Offload);
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) return fail_errno("TUNSETVNETHDRSZ");
  if (::ioctl(fd.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
    return fail_errno("TUNSETOFFLOAD");
  const u32 ifindex = ::if_nametoindex(name.c_str());
  if (ifindex == 0) return fail_errno(name);
  return TapDevice(std::move(fd), std::move(name), ifindex);
}

Result<std::unique_ptr<Port>> TapDevice::open_port() const {
  UniqueFd fd = TRY(fd_.duplicate());
  std::array<std::byte, 64> stale;  // NOLINT: the rest of a frame that is too long is cut off
  while (::read(fd.get(), stale.data(), stale.size()) >= 0) {
  }
  return std::make_unique<TapPort>(std::move(fd), ifindex_, TRY(make_burst_buffers()),
                                   TRY(Sender::emitting()), TRY(Forwarder::open()));
}

}  // namespace skep::net
