// What ports must know of the interface that they take over.
#pragma once
#include <array>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::net {

struct Interface {
  u32 ifindex = 0;
  std::string name;
  u32 mtu = 0;
  bool loopback = false;
  std::array<std::byte, 8> address{};
};

/// In the calling thread's network namespace. ENODEV: none; EOPNOTSUPP: not an Ethernet-like one.
Result<Interface> look_up_interface(u32 ifindex);

/// Random, never 0, its two lowest bits clear: the packet type goes there.
Result<u32> random_mark();

/// An error of taking an interface over, as a sentence that begins with its name.
[[nodiscard]] std::unexpected<Error> taking_over_failed(const Interface& interface, const Error& error);

}  // namespace skep::net
