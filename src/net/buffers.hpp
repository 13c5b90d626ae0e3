// Buffers for a burst of packets of any length, for ports that copy: headroom, 64 KiB of packet, and the room
// behind it that a program may grow into.
#pragma once
#include <sys/mman.h>

#include "base/fd.hpp"
#include "net/port.hpp"

namespace skep::net {

/// The longest packet: 64 KiB of IP and its Ethernet and VLAN headers.
inline constexpr u32 longest_packet = 65536 + 64;
/// Behind a packet: 128 bytes to grow into, and the 320 that the kernel's bpf_xdp_adjust_tail() keeps for
/// skb_shared_info.
inline constexpr u32 packet_tailroom = 128 + 320;
inline constexpr u32 vlan_bytes = 4;
inline constexpr u32 ethernet_header = 14;
inline constexpr u32 buffer_bytes =
    (limits::xdp_headroom + vlan_bytes + longest_packet + packet_tailroom + 63) & ~63U;

/// One buffer for each packet of a burst; pages that are never used cost nothing.
inline Result<Mapping> make_burst_buffers() {
  return Mapping::map(std::size_t{buffer_bytes} * limits::packet_burst, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, "packet buffers");
}

/// Where the packet of buffer `index` begins: behind its headroom and room for a VLAN tag.
inline std::byte* burst_buffer(const Mapping& buffers, u32 index) {
  return buffers.data() + std::size_t{buffer_bytes} * index + limits::xdp_headroom + vlan_bytes;
}

/// A packet of `size` bytes (at least an Ethernet header) just received into burst_buffer(index).
inline Packet packet_in_buffer(const Mapping& buffers, u32 index, u32 size, const Offload& offload) {
  Packet packet;
  packet.data = burst_buffer(buffers, index);
  packet.data_end = packet.data + size;
  packet.hard_start = packet.data - limits::xdp_headroom;
  packet.buffer_size = buffer_bytes - vlan_bytes;
  packet.offload = offload;
  packet.received_at = packet.data;
  packet.received_dst = load<u64>(packet.data);
  return packet;
}

}  // namespace skep::net
