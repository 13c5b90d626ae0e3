// A TAP interface of our own, and the port behind it. What the host sends into the interface is what programs
// see as received; what they PASS or TX is written back, so the host receives it. Needs no more than a
// network namespace in which we are root (`unshare -Urn`).
#pragma once
#include "base/fd.hpp"
#include "net/port.hpp"

namespace skep::net {

/// The interface. It exists as long as this object: addresses, routes and qdiscs go with it, also on kill -9.
class TapDevice {
 public:
  /// Makes interface `name` (at most 15 characters) in the calling thread's network namespace; it is down and
  /// has no address. EEXIST: there is one of this name; EPERM: needs CAP_NET_ADMIN.
  static Result<TapDevice> create(std::string name);

  [[nodiscard]] u32 ifindex() const { return ifindex_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Somebody deleted the interface.
  [[nodiscard]] bool gone() const;

  /// A port behind the interface; one at a time. Frames that the host sent while there was none are gone.
  [[nodiscard]] Result<std::unique_ptr<Port>> open_port() const;

 private:
  TapDevice(UniqueFd fd, std::string name, u32 ifindex)
      : fd_(std::move(fd)), name_(std::move(name)), ifindex_(ifindex) {}
  UniqueFd fd_;
  std::string name_;
  u32 ifindex_;
};

}  // namespace skep::net
