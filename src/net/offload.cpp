#include "net/offload.hpp"

#include <algorithm>
#include <cstring>

#include "net/port.hpp"

namespace skep::net {
namespace {
constexpr s64 kEthernetHeader = 14;
constexpr s64 kMaxField = 0xffff;
}  // namespace

Offload moved(Offload offload, s64 grown, u32 size) {
  if (grown == 0 && size >= kMaxField) return offload;
  if ((offload.flags & Offload::needs_csum) != 0) {
    const s64 start = offload.csum_start + grown;
    // virtio_net_hdr_to_skb() refuses a checksum field outside of the frame.
    if (start < kEthernetHeader || start > kMaxField || start + offload.csum_offset + 2 > s64{size})
      return {};
    offload.csum_start = static_cast<u16>(start);
  }
  if (offload.gso_type != Offload::gso_none) {
    const s64 header = offload.hdr_len + grown;
    offload.hdr_len =
        static_cast<u16>(std::clamp<s64>(header, kEthernetHeader, std::min<s64>(size, kMaxField)));
  }
  return offload;
}

Offload current_offload(const Packet& packet) {
  if (packet.offload.flags == 0 && packet.offload.gso_type == Offload::gso_none) return {};
  return moved(packet.offload, packet.received_at - packet.data, packet.size());
}

PacketType classify(const std::byte* dst, const std::byte* own) {
  constexpr std::byte kGroupBit{1};
  if ((dst[0] & kGroupBit) != std::byte{0}) {
    const bool all_ones = std::all_of(dst, dst + 6, [](std::byte b) { return b == std::byte{0xff}; });
    return all_ones ? PacketType::broadcast : PacketType::multicast;
  }
  return std::memcmp(dst, own, 6) == 0 ? PacketType::host : PacketType::otherhost;
}

Port::~Port() = default;

}  // namespace skep::net
