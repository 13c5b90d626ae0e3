// A port under test with both of its ends in the test's hands: frames sent to it as from outside, and where
// each disposition delivers.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "net/port.hpp"

namespace skep::testing {

using Frame = std::vector<std::byte>;

class Rig {
 public:
  virtual ~Rig() = default;
  std::unique_ptr<net::Port> port;
  /// Why this rig cannot be built here; empty if it stands.
  std::string missing;

  virtual void send(const std::vector<Frame>& frames) = 0;
  /// Frames that came out for `how` (pass or tx) since the last call, waiting until `count` have come or two
  /// seconds have passed. Where both end in one place, the port's rig says so by `shared_exit`.
  virtual std::vector<Frame> delivered(net::Disposition how, std::size_t count) = 0;
};

/// The ports: "memory", "pcap", "tap", "packet".
std::unique_ptr<Rig> make_rig(const std::string& kind);

/// An Ethernet frame of an EtherType for experiments (0x88b5), to the port's interface, numbered.
Frame test_frame(u32 number, std::size_t size, const std::array<std::byte, 6>& to = {});

}  // namespace skep::testing
