// The way into an interface's receive path: a private TAP that redirects what is sent on it to the ingress of
// the interface (clsact, u32, mirred). A packet sent on the TAP arrives at the interface like a received one.
// The TAP is not persistent: it, its qdisc and its filter are gone with its descriptor.
#pragma once
#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "net/port.hpp"

namespace skep::net {

class InjectTap {
 public:
  /// Every packet is redirected, whatever its mark.
  static constexpr u32 any_mark = 0;
  /// `mark`: only packets with this mark, its two lowest bits aside, are redirected (where the kernel has
  /// CONFIG_CLS_U32_MARK; else all).
  static Result<InjectTap> open(u32 target_ifindex, u32 mark);
  [[nodiscard]] u32 ifindex() const { return ifindex_; }

  /// The offload to send a packet with. A TAP's MTU ends 14 bytes below the longest packet of `lo`; the
  /// kernel does not look at the MTU where segmentation is asked for, and does none when a segment holds it
  /// all.
  [[nodiscard]] static Offload fitting(const Packet& packet);

 private:
  InjectTap(UniqueFd fd, u32 ifindex) : fd_(std::move(fd)), ifindex_(ifindex) {}
  UniqueFd fd_;
  u32 ifindex_;
};

/// Brings a TAP up that takes the longest frames and that the kernel sends nothing of its own on.
Result<void> bring_up_silently(u32 ifindex);

/// Opens /dev/net/tun and makes an interface; `name` (may have %d) becomes its name. `flags` are IFF_*.
/// ENOENT or ENODEV become EOPNOTSUPP naming the module.
Result<UniqueFd> open_tun(std::string& name, int flags);

}  // namespace skep::net
