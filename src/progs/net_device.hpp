// An interface as contexts refer to it, and the network namespace that it is in: struct net_device and struct
// net with the fields that rewritten code and programs read. Offsets of struct net_device are the kernel's
// (Linux 6.18, x86-64); where those of struct net's fields are stands in kernel_fields.hpp.
#pragma once
#include <array>
#include <cstddef>

#include "base/types.hpp"

namespace skep::progs {

struct Net {
  u64 cookie = 0;
  u32 inum = 0;  ///< of /proc/PID/ns/net
};

struct NetDevice {
  u8 before_mtu[56] = {};
  u32 mtu = 65536;  ///< the loopback's
  u8 before_flags[116] = {};
  u32 flags = 0;  ///< IFF_UP, ...
  u16 hard_header_len = 14;
  u8 before_ifindex[42] = {};
  u32 ifindex = 0;  ///< checked against tests/golden/ctx_xlated.json
  u8 before_net[36] = {};
  Net* net = nullptr;  ///< of the same network namespace
  u8 before_name[8] = {};
  std::array<char, 16> name{};
  u8 before_address[672] = {};
  const std::array<u8, 8>* dev_addr = nullptr;
  // From here on skep's own: no program reaches it.
  std::array<u8, 8> address{};  ///< the Ethernet address and two zeroes
};
static_assert(offsetof(NetDevice, mtu) == 56 && offsetof(NetDevice, flags) == 176);
static_assert(offsetof(NetDevice, hard_header_len) == 180 && offsetof(NetDevice, ifindex) == 224);
static_assert(offsetof(NetDevice, net) == 264 && offsetof(NetDevice, name) == 280);
static_assert(offsetof(NetDevice, dev_addr) == 968);

}  // namespace skep::progs
