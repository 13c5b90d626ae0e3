// Helpers that change a packet's length, headers and protocol (kernel: net/core/filter.c).
#include <bit>
#include <cerrno>
#include <cstring>

#include "helpers/checksum.hpp"
#include "helpers/families.hpp"
#include "helpers/skb.hpp"

namespace skep::helpers {
namespace {

using progs::SkBuff;

constexpr int enotsupp = 524;
constexpr u16 ip4 = 0x0008, ip6 = 0xdd86;         // ETH_P_IP, ETH_P_IPV6 in network order
constexpr u16 teb = 0x5865;                       // ETH_P_TEB
constexpr u16 vlan_q = 0x0081, vlan_ad = 0xa888;  // ETH_P_8021Q, ETH_P_8021AD
constexpr u32 ip4_header = 20, ip6_header = 40, eth_header = 14;
constexpr u16 unset = 0xffff;

u32 low(u64 value) { return static_cast<u32>(value); }
u64 as_result(s32 value) { return static_cast<u64>(s64{value}); }
u16 plus(u16 header, s32 by) { return static_cast<u16>(header + by); }

bool at_tc_ingress(const SkBuff& skb) { return (skb.time_bits & progs::skb_tc_at_ingress) != 0; }
/// At ingress the sum does not cover the link layer's header; VLAN tags go into and out of that.
void push_mac_rcsum(SkBuff& skb) {
  if (at_tc_ingress(skb)) skb_postpush_rcsum(skb, {skb.head + skb.mac_header, skb.mac_len});
}
void pull_mac_rcsum(SkBuff& skb) {
  if (at_tc_ingress(skb)) skb_postpull_rcsum(skb, {skb.head + skb.mac_header, skb.mac_len});
}

u64 vlan_push(u64 context, u64 proto64, u64 tci, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  auto proto = static_cast<u16>(proto64);
  if (proto != vlan_q && proto != vlan_ad) proto = vlan_q;
  push_mac_rcsum(skb.buf);
  const s32 result = skb_vlan_push(skb, proto, static_cast<u16>(tci));
  pull_mac_rcsum(skb.buf);
  skb_reset_mac_len(skb.buf);
  skb_compute_data_pointers(skb.buf);
  return as_result(result);
}

u64 vlan_pop(u64 context, u64, u64, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  push_mac_rcsum(skb.buf);
  const s32 result = skb_vlan_pop(skb);
  pull_mac_rcsum(skb.buf);
  skb_compute_data_pointers(skb.buf);
  return as_result(result);
}

/// Room of `len` zero bytes `off` bytes behind the packet's start; the headers before it move to the front.
void header_push(SkBuff& skb, u32 off, u32 len) {
  const bool transport_is_network = skb.transport_header == skb.network_header;
  skb_push(skb, len);
  std::memmove(skb.data, skb.data + len, off);
  std::memset(skb.data + off, 0, len);
  skb.mac_header = plus(skb.mac_header, -static_cast<s32>(len));
  skb.network_header = plus(skb.network_header, -static_cast<s32>(len));
  if (transport_is_network) skb.transport_header = skb.network_header;
}
[[nodiscard]] s32 header_pop(SkBuff& skb, u32 off, u32 len) {
  if (u64{off} + len > skb_headlen(skb)) return -ENOMEM;
  const bool transport_is_network = skb.transport_header == skb.network_header;
  std::byte* old_data = skb.data;
  skb_pull(skb, len);
  skb_postpull_rcsum(skb, {old_data + off, len});
  std::memmove(skb.data, old_data, off);
  skb.mac_header = plus(skb.mac_header, static_cast<s32>(len));
  skb.network_header = plus(skb.network_header, static_cast<s32>(len));
  if (transport_is_network) skb.transport_header = skb.network_header;
  return 0;
}

bool is_gso(SkBuff& skb) { return skb_shared_info(skb).gso_size != 0; }
enum GsoType : u32 {
  gso_tcpv4 = 1u << 0,
  gso_dodgy = 1u << 1,
  gso_tcpv6 = 1u << 4,
  gso_gre = 1u << 6,
  gso_ipxip4 = 1u << 8,
  gso_ipxip6 = 1u << 9,
  gso_udp_tunnel = 1u << 10,
  gso_udp_l4 = 1u << 17,
};
bool is_gso_tcp(SkBuff& skb) { return (skb_shared_info(skb).gso_type & (gso_tcpv4 | gso_tcpv6)) != 0; }
void swap_gso_type(SkBuff& skb, u32 from, u32 to) {
  if (!is_gso(skb)) return;
  u32& type = skb_shared_info(skb).gso_type;
  if ((type & from) != 0) type = (type & ~from) | to;
  type |= gso_dodgy;
}

/// The protocol changed: the route it had is no more.
void change_protocol(SkBuff& skb, u16 proto) {
  skb.protocol = proto;
  skb.refdst = 0;
}

u64 skb_change_proto(u64 context, u64 proto64, u64 flags, u64, u64, RunContext*) {
  constexpr u32 difference = ip6_header - ip4_header;
  Skb& skb = skb_of(context);
  SkBuff& buf = skb.buf;
  const auto to = static_cast<u16>(proto64);
  if (flags != 0) return error_result(EINVAL);
  s32 result = -enotsupp;
  const u32 off = skb_mac_header_len(buf);
  if (buf.protocol == ip4 && to == ip6) {
    result = skb_cow(skb, difference) ? 0 : -ENOMEM;
    if (result == 0) {
      header_push(buf, off, difference);
      swap_gso_type(buf, gso_tcpv4, gso_tcpv6);
    }
  } else if (buf.protocol == ip6 && to == ip4) {
    result = header_pop(buf, off, difference);
    if (result == 0) swap_gso_type(buf, gso_tcpv6, gso_tcpv4);
  }
  if (result == 0) {
    change_protocol(buf, to);
    skb_clear_hash(buf);
  }
  skb_compute_data_pointers(buf);
  return as_result(result);
}

u64 skb_change_type(u64 context, u64 type64, u64, u64, u64, RunContext*) {
  constexpr u32 last_ok = 3;  // PACKET_OTHERHOST
  SkBuff& skb = skb_of(context).buf;
  const u32 type = low(type64);
  if ((skb.type_bits & progs::skb_pkt_type_mask) > last_ok || type > last_ok) return error_result(EINVAL);
  skb.type_bits = static_cast<u8>((skb.type_bits & ~u32{progs::skb_pkt_type_mask}) | type);
  return 0;
}

// --- bpf_skb_adjust_room() ---

enum RoomFlag : u64 {
  fixed_gso = 1 << 0,
  encap_ip4 = 1 << 1,
  encap_ip6 = 1 << 2,
  encap_gre = 1 << 3,
  encap_udp = 1 << 4,
  no_csum_reset = 1 << 5,
  encap_eth = 1 << 6,
  decap_ip4 = 1 << 7,
  decap_ip6 = 1 << 8,
  encap_l2_mask = 0xffull << 56,
};
constexpr u64 decap_mask = decap_ip4 | decap_ip6;
constexpr u64 room_mask = fixed_gso | encap_ip4 | encap_ip6 | encap_gre | encap_udp | encap_eth |
                          encap_l2_mask | decap_mask | no_csum_reset;

bool gso_forbids(SkBuff& skb, u64 flags) {
  if (!is_gso(skb) || is_gso_tcp(skb)) return false;
  return (skb_shared_info(skb).gso_type & gso_udp_l4) == 0 || (flags & fixed_gso) == 0;
}

/// What the flags ask of the packet before a tunnel's headers go around it.
s32 check_encap(const SkBuff& skb, u32 len_diff, u64 flags) {
  const auto inner_mac_len = static_cast<u32>(flags >> 56);
  if (skb.protocol != ip4 && skb.protocol != ip6) return -enotsupp;
  if ((flags & encap_ip4) != 0 && (flags & encap_ip6) != 0) return -EINVAL;
  if ((flags & encap_gre) != 0 && (flags & encap_udp) != 0) return -EINVAL;
  if ((flags & encap_eth) != 0 && inner_mac_len < eth_header) return -EINVAL;
  if ((skb.hash_bits & progs::skb_encapsulation) != 0) return -EALREADY;
  return inner_mac_len > len_diff ? -EINVAL : 0;
}

void finish_encap(SkBuff& skb, u16 mac_len, u16 inner_net, u16 inner_trans, u64 flags) {
  skb.inner_mac_header = static_cast<u16>(inner_net - (flags >> 56));
  skb.inner_network_header = inner_net;
  skb.inner_transport_header = inner_trans;
  skb.inner_protocol = (flags & encap_eth) != 0 ? teb : skb.protocol;
  skb.hash_bits |= progs::skb_encapsulation;
  const u32 data = skb_headroom(skb);
  skb.network_header = static_cast<u16>(data + mac_len);
  if ((flags & (encap_gre | encap_udp)) != 0)
    skb.transport_header =
        static_cast<u16>(data + mac_len + ((flags & encap_ip6) != 0 ? ip6_header : ip4_header));
  if (skb.protocol == ip4 && (flags & encap_ip6) != 0)
    change_protocol(skb, ip6);
  else if (skb.protocol == ip6 && (flags & encap_ip4) != 0)
    change_protocol(skb, ip4);
}

u32 tunnel_gso(u64 flags) {
  if ((flags & encap_udp) != 0) return gso_udp_tunnel;
  if ((flags & encap_gre) != 0) return gso_gre;
  return (flags & encap_ip6) != 0 ? gso_ipxip6 : gso_ipxip4;
}

s32 grow(Skb& skb, u32 off, u32 len_diff, u64 flags) {
  SkBuff& buf = skb.buf;
  const bool encap = (flags & (encap_ip4 | encap_ip6)) != 0;
  if (gso_forbids(buf, flags)) return -enotsupp;
  if (!skb_cow(skb, len_diff)) return -ENOMEM;
  if (encap)
    if (const s32 error = check_encap(buf, len_diff, flags); error != 0) return error;
  const auto mac_len = static_cast<u16>(buf.network_header - buf.mac_header);
  const u16 inner_net = buf.network_header, inner_trans = buf.transport_header;
  header_push(buf, off, len_diff);
  if (encap) finish_encap(buf, mac_len, inner_net, inner_trans, flags);
  if (is_gso(buf)) {
    auto& info = skb_shared_info(buf);
    info.gso_type |= gso_dodgy | (encap ? tunnel_gso(flags) : 0);
    info.gso_segs = 0;
    if ((flags & fixed_gso) == 0) info.gso_size = static_cast<u16>(info.gso_size - len_diff);
  }
  return 0;
}

s32 shrink(Skb& skb, u32 off, u32 len_diff, u64 flags) {
  SkBuff& buf = skb.buf;
  if ((flags & ~(fixed_gso | decap_mask | no_csum_reset)) != 0) return -EINVAL;
  if (gso_forbids(buf, flags)) return -enotsupp;
  if (!skb_ensure_writable(skb, 0)) return -ENOMEM;
  if (const s32 error = header_pop(buf, off, len_diff); error != 0) return error;
  if (buf.protocol == ip4 && (flags & decap_ip6) != 0)
    change_protocol(buf, ip6);
  else if (buf.protocol == ip6 && (flags & decap_ip4) != 0)
    change_protocol(buf, ip4);
  if (is_gso(buf)) {
    auto& info = skb_shared_info(buf);
    if ((flags & fixed_gso) == 0) info.gso_size = static_cast<u16>(info.gso_size + len_diff);
    info.gso_type |= gso_dodgy;
    info.gso_segs = 0;
  }
  return 0;
}

u64 skb_adjust_room(u64 context, u64 diff64, u64 mode64, u64 flags, u64, RunContext*) {
  enum : u32 { room_net = 0, room_mac = 1 };
  constexpr u32 diff_max = 0xfff;
  Skb& skb = skb_of(context);
  SkBuff& buf = skb.buf;
  const auto diff = static_cast<s32>(low(diff64));
  const u32 mode = low(mode64);
  const u32 by = diff < 0 ? 0u - low(diff64) : low(diff64);
  const bool shrinks = diff < 0;
  if ((flags & ~room_mask) != 0) return error_result(EINVAL);
  if (by > diff_max) return error_result(EFAULT);
  if (buf.protocol != ip4 && buf.protocol != ip6) return error_result(enotsupp);
  if (mode != room_net && mode != room_mac) return error_result(enotsupp);
  u32 len_min = buf.protocol == ip4 ? ip4_header : ip6_header;
  const u32 off = skb_mac_header_len(buf) + (mode == room_net ? len_min : 0);
  if ((flags & decap_mask) != 0) {
    if (!shrinks || (flags & decap_mask) == decap_mask) return error_result(EINVAL);
    len_min = (flags & decap_ip4) != 0 ? ip4_header : ip6_header;
  }
  const u32 len = buf.len - static_cast<u32>(skb_network_offset(buf));
  if ((shrinks && (by >= len || len - by < len_min)) ||
      (!shrinks && buf.len + by > skb_max_len && !is_gso(buf)))
    return error_result(enotsupp);
  const s32 result = shrinks ? shrink(skb, off, by, flags) : grow(skb, off, by, flags);
  if (result == 0 && (flags & no_csum_reset) == 0 && skb_ip_summed(buf) == checksum_unnecessary) {
    skb_set_ip_summed(buf, checksum_none);
    buf.time_bits &= 0x3f;
  }
  skb_compute_data_pointers(buf);
  return as_result(result);
}

// --- bpf_skb_change_tail(), bpf_skb_change_head() ---

/// __bpf_skb_min_len(): the headers stay.
u32 min_len(const SkBuff& skb) {
  s32 offset = skb_network_offset(skb);
  u32 least = offset > 0 ? static_cast<u32>(offset) : 0;
  if (skb.transport_header != unset) {
    offset = s32{skb.transport_header} - static_cast<s32>(skb_headroom(skb));
    if (offset > 0) least = static_cast<u32>(offset);
  }
  return least;
}

s32 resize(Skb& skb, u32 len) {
  SkBuff& buf = skb.buf;
  if (!skb_ensure_writable(skb, buf.len)) return -ENOMEM;
  if (len > buf.len) {
    const u32 more = len - buf.len;
    if (more > skb_tailroom(buf) && !skb_expand_head(skb, 0, more - skb_tailroom(buf))) return -ENOMEM;
    std::memset(buf.data + buf.len, 0, more);
    if (skb_ip_summed(buf) == checksum_complete) skb_set_ip_summed(buf, checksum_none);
  } else if (len < buf.len) {
    if (skb_ip_summed(buf) == checksum_complete) {
      const u32 gone = csum_partial({buf.data + len, buf.len - len}, 0);
      buf.csum = csum_add(buf.csum, ~((len & 1) != 0 ? std::rotr(gone, 8) : gone));  // csum_block_sub()
    } else if (skb_ip_summed(buf) == checksum_partial) {
      const u32 start = (buf.csum & 0xffff) - skb_headroom(buf);
      if (len < start + (buf.csum >> 16) + 2) skb_set_ip_summed(buf, checksum_none);
    }
  }
  buf.len = len;
  buf.tail = skb_headroom(buf) + len;
  if (is_gso(buf)) {
    auto& info = skb_shared_info(buf);
    info.gso_size = info.gso_segs = 0;
    info.gso_type = 0;
  }
  return 0;
}

u64 skb_change_tail(u64 context, u64 len64, u64 flags, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  const u32 len = low(len64);
  s32 result = 0;
  if (flags != 0 || len > skb_max_len || len < min_len(skb.buf))
    result = -EINVAL;
  else if ((skb.buf.hash_bits & progs::skb_encapsulation) != 0)
    result = -enotsupp;
  else
    result = resize(skb, len);
  skb_compute_data_pointers(skb.buf);
  return as_result(result);
}

u64 skb_change_head(u64 context, u64 room64, u64 flags, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  SkBuff& buf = skb.buf;
  const u32 room = low(room64);
  const u32 len = buf.len + room;
  s32 result = 0;
  if (flags != 0 || (!is_gso(buf) && len > skb_max_len) || len < buf.len) {
    result = -EINVAL;
  } else if (!skb_cow(skb, room)) {
    result = -ENOMEM;
  } else {
    skb_push(buf, room);
    std::memset(buf.data, 0, room);
    buf.mac_header = static_cast<u16>(skb_headroom(buf));
    skb_reset_mac_len(buf);
  }
  skb_compute_data_pointers(buf);
  return as_result(result);
}

constexpr HelperRow rows[] = {
    {18, vlan_push},       {19, vlan_pop},        {31, skb_change_proto}, {32, skb_change_type},
    {38, skb_change_tail}, {43, skb_change_head}, {50, skb_adjust_room},
};

}  // namespace

std::span<const HelperRow> skb_change_family() { return rows; }

}  // namespace skep::helpers
