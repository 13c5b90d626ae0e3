// The context an XDP program runs on, as rewritten code sees it: struct xdp_buff and
// xdp_rxq_info with the fields that programs reach, at the kernel's offsets (Linux 6.18, x86-64).
#pragma once
#include <cstddef>

#include "base/types.hpp"
#include "progs/net_device.hpp"

namespace skep::progs {

struct XdpRxqInfo {
  NetDevice* dev = nullptr;
  u32 queue_index = 0;
};
static_assert(offsetof(XdpRxqInfo, queue_index) == 8);

struct XdpTxqInfo {
  NetDevice* dev = nullptr;
};

struct XdpBuff {
  std::byte* data = nullptr;
  std::byte* data_end = nullptr;
  std::byte* data_meta = nullptr;
  std::byte* data_hard_start = nullptr;
  XdpRxqInfo* rxq = nullptr;
  XdpTxqInfo* txq = nullptr;
  u32 frame_sz = 0;  ///< bytes from data_hard_start to the end of the buffer
  u32 flags = 0;     ///< xdp_has_frags
};
inline constexpr u32 xdp_has_frags = 1;  ///< more of the packet is in the SkbSharedInfo at the buffer's end
static_assert(offsetof(XdpBuff, data_end) == 8 && offsetof(XdpBuff, data_meta) == 16);
static_assert(offsetof(XdpBuff, data_hard_start) == 24 && offsetof(XdpBuff, rxq) == 32);

}  // namespace skep::progs
