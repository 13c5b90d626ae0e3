// Work that a sender left to be done: the checksum still to be filled in, the superframe still to be cut
// into segments. It travels with a packet as struct virtio_net_hdr does (packet(7) PACKET_VNET_HDR, TUN's
// IFF_VNET_HDR), so that a packet goes through a program without losing it.
#pragma once
#include "base/types.hpp"

namespace skep::net {

struct Packet;

/// struct virtio_net_hdr, little-endian (native) fields, as AF_PACKET and TUN read and write it.
struct Offload {
  static constexpr u8 needs_csum = 1;  ///< VIRTIO_NET_HDR_F_NEEDS_CSUM
  // VIRTIO_NET_HDR_GSO_*; <linux/virtio_net.h> cannot be included: it names a field `class`.
  static constexpr u8 gso_none = 0, gso_tcpv4 = 1, gso_udp = 3, gso_tcpv6 = 4;

  u8 flags = 0;
  u8 gso_type = gso_none;
  u16 hdr_len = 0;      ///< bytes of Ethernet + IP + TCP header (a hint)
  u16 gso_size = 0;     ///< payload bytes of a segment
  u16 csum_start = 0;   ///< where checksumming starts, from the start of the frame
  u16 csum_offset = 0;  ///< where the checksum goes, from csum_start

  bool operator==(const Offload&) const = default;
};
static_assert(sizeof(Offload) == 10);

/// sockaddr_ll.sll_pkttype: whom the frame was addressed to.
enum class PacketType : u8 { host = 0, broadcast = 1, multicast = 2, otherhost = 3 };

/// `offload` for a frame whose first byte moved `grown` bytes towards lower addresses (negative: headers were
/// removed) and which is now `size` bytes long. Work that no longer fits the frame is dropped.
[[nodiscard]] Offload moved(Offload offload, s64 grown, u32 size);

/// The offload of a packet as it is now.
[[nodiscard]] Offload current_offload(const Packet& packet);

/// The type of a frame to the destination address at `dst` on an interface with address `own`
/// (kernel: eth_type_trans()).
[[nodiscard]] PacketType classify(const std::byte* dst, const std::byte* own);

}  // namespace skep::net
