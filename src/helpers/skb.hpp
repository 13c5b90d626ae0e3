// A packet as tc, socket-filter, cgroup_skb and lwt programs have it: struct sk_buff with its buffer, and the
// operations of net/core/skbuff.c that helpers, test runs and hooks share. Packets are in one piece.
#pragma once
#include <span>

#include "base/bytes.hpp"
#include "progs/sk_buff.hpp"

namespace skep::helpers {

/// struct bpf_tunnel_key as bpf_skb_set_tunnel_key() left it, whole, and the options behind it.
struct SkbTunnel {
  bool set = false;
  bool transmit = false;  ///< IP_TUNNEL_INFO_TX: to be sent with, not received with
  std::array<std::byte, 44> key{};
  u32 flags = 0;  ///< BPF_F_ZERO_CSUM_TX, ...
  std::array<std::byte, 255> options{};
  u32 options_len = 0;
};

/// The context, then what only skep knows. A program's context pointer is the address of `buf`, which stands
/// first.
struct Skb {
  progs::SkBuff buf{};
  std::byte* grown = nullptr;  ///< memory of its own that took the place of the first buffer; else nullptr
  SkbTunnel tunnel{};
  bool pulled_mac = false;  ///< data stands behind the link layer's header (is not where the frame begins)

  Skb() = default;
  ~Skb();
  Skb(const Skb&) = delete;
  Skb& operator=(const Skb&) = delete;
};

inline Skb& skb_of(u64 context) { return *reinterpret_cast<Skb*>(context); }  // NOLINT: R1 of skb programs

/// Room that struct skb_shared_info takes at the buffer's end.
inline constexpr u32 skb_tailroom_reserved = sizeof(progs::SkbSharedInfo);
/// BPF_SKB_MAX_LEN: how long helpers may make a packet.
inline constexpr u32 skb_max_len = 16384 - skb_tailroom_reserved;

/// A packet in `buffer` (of `size` bytes, the last 320 of which become the shared info): `len` bytes begin at
/// `headroom`. Headers as __build_skb() leaves them: none known but data's place. The buffer stays the
/// caller's.
void skb_build(Skb& skb, std::byte* buffer, u32 size, u32 headroom, u32 len, progs::NetDevice* dev);

/// eth_type_trans(): protocol and packet type from the Ethernet header, which is pulled; the network header
/// is set behind it. `own_address`: the receiving interface's (6 bytes), or nullptr for all zeroes.
void skb_eth_type_trans(Skb& skb, const std::byte* own_address = nullptr);
/// bpf_compute_data_pointers()
void skb_compute_data_pointers(progs::SkBuff& skb);

inline u32 skb_headlen(const progs::SkBuff& skb) { return skb.len - skb.data_len; }
inline u32 skb_headroom(const progs::SkBuff& skb) { return static_cast<u32>(skb.data - skb.head); }
inline u32 skb_tailroom(const progs::SkBuff& skb) { return skb.end - skb.tail; }
inline progs::SkbSharedInfo& skb_shared_info(progs::SkBuff& skb) {
  return *reinterpret_cast<progs::SkbSharedInfo*>(skb.head + skb.end);  // NOLINT: skb_build() put it there
}
inline s32 skb_network_offset(const progs::SkBuff& skb) {
  return s32{skb.network_header} - static_cast<s32>(skb_headroom(skb));
}
inline bool skb_mac_header_set(const progs::SkBuff& skb) { return skb.mac_header != 0xffff; }
inline u32 skb_mac_header_len(const progs::SkBuff& skb) {
  return static_cast<u32>(skb.network_header) - skb.mac_header;
}
inline u8 skb_ip_summed(const progs::SkBuff& skb) {
  return static_cast<u8>((skb.type_bits & progs::skb_ip_summed_mask) >> progs::skb_ip_summed_shift);
}
inline void skb_set_ip_summed(progs::SkBuff& skb, u8 kind) {
  skb.type_bits =
      static_cast<u8>((skb.type_bits & ~progs::skb_ip_summed_mask) | (kind << progs::skb_ip_summed_shift));
}
enum IpSummed : u8 { checksum_none, checksum_unnecessary, checksum_complete, checksum_partial };

inline void skb_push(progs::SkBuff& skb, u32 len) {
  skb.data -= len;
  skb.len += len;
}
inline void skb_pull(progs::SkBuff& skb, u32 len) {
  skb.data += len;
  skb.len -= len;
}
inline void skb_reset_mac_len(progs::SkBuff& skb) {
  skb.mac_len = static_cast<u16>(skb.network_header - skb.mac_header);
}
/// Hash 0, of no kind: to be computed again.
void skb_clear_hash(progs::SkBuff& skb);

/// pskb_expand_head(): at least `headroom` more bytes in front and `tailroom` behind, in memory of its own.
/// False: there is no memory.
[[nodiscard]] bool skb_expand_head(Skb& skb, u32 headroom, u32 tailroom);
/// skb_cow(): at least `headroom` bytes in front, and nobody else's packet.
[[nodiscard]] bool skb_cow(Skb& skb, u32 headroom);
/// skb_ensure_writable(): the first `len` bytes are there, and this packet's alone.
[[nodiscard]] bool skb_ensure_writable(Skb& skb, u32 len);

/// skb_postpull_rcsum() and skb_postpush_rcsum(): bytes that left, or came to, a packet whose whole sum is
/// known.
void skb_postpull_rcsum(progs::SkBuff& skb, ByteView bytes);
void skb_postpush_rcsum(progs::SkBuff& skb, ByteView bytes);

/// skb_vlan_push() and skb_vlan_pop(); protocol in network order. 0 or a negative errno.
[[nodiscard]] s32 skb_vlan_push(Skb& skb, u16 proto, u16 tci);
[[nodiscard]] s32 skb_vlan_pop(Skb& skb);

/// The flow's hash, computed where it is not known (skb_get_hash()).
u32 skb_get_hash(progs::SkBuff& skb);

}  // namespace skep::helpers
