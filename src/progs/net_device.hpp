// An interface as contexts refer to it: struct net_device with the one field that rewritten code reads, at
// the kernel's offset (Linux 6.18, x86-64), and behind it what helpers ask of an interface.
#pragma once
#include <cstddef>

#include "base/types.hpp"

namespace skep::progs {

struct NetDevice {
  u8 before_ifindex[224] = {};
  u32 ifindex = 0;  ///< checked against tests/golden/ctx_xlated.json
  // From here on skep's own: no program reaches it.
  u32 mtu = 65536;  ///< the loopback's
  u32 hard_header_len = 14;
};
static_assert(offsetof(NetDevice, ifindex) == 224);

}  // namespace skep::progs
