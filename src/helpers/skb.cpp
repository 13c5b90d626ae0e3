// See skb.hpp (kernel: net/core/skbuff.c, net/ethernet/eth.c).
#include "helpers/skb.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "helpers/checksum.hpp"

namespace skep::helpers {

using namespace progs;

namespace {

constexpr u32 eth_header = 14;
constexpr u32 eth_addresses = 12;
constexpr u32 vlan_header = 4;
constexpr u32 align = 64;  // SKB_DATA_ALIGN

constexpr u16 net16(u16 value) { return __builtin_bswap16(value); }
constexpr u16 eth_802_2 = 0x0004, eth_802_3 = 0x0001, eth_802_3_min = 0x0600;
constexpr u16 eth_8021q = 0x8100, eth_8021ad = 0x88a8;

bool is_vlan(u16 protocol) { return protocol == net16(eth_8021q) || protocol == net16(eth_8021ad); }

void set_pkt_type(SkBuff& skb, u8 type) {
  skb.type_bits = static_cast<u8>((skb.type_bits & ~skb_pkt_type_mask) | type);
}

/// eth_type_trans()'s verdict on the destination address.
u8 packet_type(const std::byte* destination, const std::byte* own) {
  enum : u8 { host = 0, broadcast = 1, multicast = 2, other_host = 3 };
  constexpr std::array<std::byte, 6> zero{};
  if (std::memcmp(destination, own != nullptr ? own : zero.data(), 6) == 0) return host;
  if ((destination[0] & std::byte{1}) == std::byte{0}) return other_host;
  return std::all_of(destination, destination + 6, [](std::byte b) { return b == std::byte{0xff}; })
             ? broadcast
             : multicast;
}

}  // namespace

Skb::~Skb() { std::free(grown); }

void skb_build(Skb& skb, std::byte* buffer, u32 size, u32 headroom, u32 len, NetDevice* dev) {
  SkBuff& buf = skb.buf;
  buf.head = buffer;
  buf.data = buffer + headroom;
  buf.end = size - skb_tailroom_reserved;
  buf.tail = headroom + len;
  buf.len = len;
  buf.dev = dev;
  buf.truesize = size + sizeof(SkBuff);
  new (buffer + buf.end) SkbSharedInfo{};
}

void skb_eth_type_trans(Skb& skb, const std::byte* own_address) {
  SkBuff& buf = skb.buf;
  const std::byte* frame = buf.data;
  buf.mac_header = static_cast<u16>(skb_headroom(buf));
  skb_pull(buf, eth_header);
  buf.network_header = static_cast<u16>(skb_headroom(buf));
  set_pkt_type(buf, packet_type(frame, own_address));
  const u16 type = load<u16>(frame + eth_addresses);
  if (net16(type) >= eth_802_3_min) {
    buf.protocol = type;
    return;
  }
  const bool raw_ipx = buf.len >= 2 && load<u16>(buf.data) == 0xffff;
  buf.protocol = net16(raw_ipx ? eth_802_3 : eth_802_2);
}

void skb_compute_data_pointers(SkBuff& skb) {
  skb.cb.data_meta = skb.data - skb_shared_info(skb).meta_len;
  skb.cb.data_end = skb.data + skb_headlen(skb);
}

void skb_clear_hash(SkBuff& skb) {
  skb.hash = 0;
  skb.hash_bits = static_cast<u8>(skb.hash_bits & ~(skb_l4_hash | skb_sw_hash));
}

bool skb_expand_head(Skb& skb, u32 headroom, u32 tailroom) {
  SkBuff& buf = skb.buf;
  const u32 end = (buf.end + headroom + tailroom + align - 1) / align * align;
  auto* memory = static_cast<std::byte*>(std::calloc(1, end + skb_tailroom_reserved));
  if (memory == nullptr) return false;
  std::memcpy(memory + headroom, buf.head, buf.tail);
  std::memcpy(memory + end, &skb_shared_info(buf), sizeof(SkbSharedInfo));
  buf.data = memory + headroom + (buf.data - buf.head);
  buf.head = memory;
  buf.end = end;
  buf.tail += headroom;
  const auto moved = static_cast<u16>(headroom);
  for (u16* header : {&buf.mac_header, &buf.network_header, &buf.transport_header, &buf.inner_mac_header,
                      &buf.inner_network_header, &buf.inner_transport_header})
    if (*header != 0xffff) *header = static_cast<u16>(*header + moved);
  if (skb_ip_summed(buf) == checksum_partial)  // csum_start, from head on (skb_headers_offset_update())
    buf.csum = (buf.csum & 0xffff0000) | static_cast<u16>(buf.csum + moved);
  buf.clone_bits = static_cast<u8>(buf.clone_bits & ~skb_cloned);
  std::free(skb.grown);
  skb.grown = memory;
  return true;
}

bool skb_cow(Skb& skb, u32 headroom) {
  const u32 have = skb_headroom(skb.buf);
  if (headroom <= have && (skb.buf.clone_bits & skb_cloned) == 0) return true;
  const u32 more = headroom > have ? (headroom - have + align - 1) / align * align : 0;
  return skb_expand_head(skb, more, 0);
}

bool skb_ensure_writable(Skb& skb, u32 len) {
  if (len > skb_headlen(skb.buf)) return false;
  return (skb.buf.clone_bits & skb_cloned) == 0 || skb_expand_head(skb, 0, 0);
}

void skb_postpull_rcsum(SkBuff& skb, ByteView bytes) {
  if (skb_ip_summed(skb) == checksum_complete)
    skb.csum = 0u - csum_partial(bytes, 0u - skb.csum);
  else if (skb_ip_summed(skb) == checksum_partial && (skb.csum & 0xffff) < skb_headroom(skb))  // csum_start
    skb_set_ip_summed(skb, checksum_none);
}

void skb_postpush_rcsum(SkBuff& skb, ByteView bytes) {
  if (skb_ip_summed(skb) == checksum_complete) skb.csum = csum_partial(bytes, skb.csum);
}

namespace {

/// __vlan_insert_tag(): the tag goes into the frame, behind its addresses.
s32 insert_tag(Skb& skb, u16 proto, u16 tci) {
  if (!skb_cow(skb, vlan_header)) return -ENOMEM;
  SkBuff& buf = skb.buf;
  skb_push(buf, vlan_header);
  std::memmove(buf.data, buf.data + vlan_header, eth_addresses);
  buf.mac_header = static_cast<u16>(buf.mac_header - vlan_header);
  store<u16>(buf.data + eth_addresses, proto);
  store<u16>(buf.data + eth_addresses + 2, net16(tci));
  return 0;
}

/// __skb_vlan_pop(): the frame's first tag leaves it.
s32 pop_tag(Skb& skb, u16& tci) {
  if (!skb_ensure_writable(skb, eth_header + vlan_header)) return -ENOMEM;
  SkBuff& buf = skb.buf;
  skb_postpull_rcsum(buf, {buf.data + eth_addresses, vlan_header});
  tci = net16(load<u16>(buf.data + eth_addresses + 2));
  const u16 inner = load<u16>(buf.data + eth_addresses + vlan_header);
  std::memmove(buf.data + vlan_header, buf.data, eth_addresses);
  skb_pull(buf, vlan_header);
  // vlan_set_encap_proto()
  if (net16(inner) >= eth_802_3_min)
    buf.protocol = inner;
  else
    buf.protocol = net16(buf.len >= eth_header + 2 && load<u16>(buf.data + eth_header) == 0xffff ? eth_802_3
                                                                                                 : eth_802_2);
  buf.mac_header = static_cast<u16>(buf.mac_header + vlan_header);
  if (skb_network_offset(buf) < s32{eth_header})
    buf.network_header = static_cast<u16>(skb_headroom(buf) + eth_header);
  skb_reset_mac_len(buf);
  return 0;
}

}  // namespace

s32 skb_vlan_push(Skb& skb, u16 proto, u16 tci) {
  SkBuff& buf = skb.buf;
  if (buf.vlan_proto != 0 || buf.vlan_tci != 0) {
    if (static_cast<s32>(skb_headroom(buf)) != s32{buf.mac_header}) return -EINVAL;
    if (const s32 error = insert_tag(skb, buf.vlan_proto, buf.vlan_tci); error != 0) return error;
    buf.protocol = buf.vlan_proto;
    buf.network_header = static_cast<u16>(buf.network_header - vlan_header);
    skb_postpush_rcsum(buf, {buf.data + eth_addresses, vlan_header});
  }
  buf.vlan_proto = proto;
  buf.vlan_tci = tci;
  return 0;
}

s32 skb_vlan_pop(Skb& skb) {
  SkBuff& buf = skb.buf;
  u16 tci = 0;
  if (buf.vlan_proto != 0 || buf.vlan_tci != 0) {
    buf.vlan_proto = buf.vlan_tci = 0;
  } else {
    if (!is_vlan(buf.protocol)) return 0;
    if (const s32 error = pop_tag(skb, tci); error != 0) return error;
  }
  if (!is_vlan(buf.protocol)) return 0;
  const u16 proto = buf.protocol;
  if (const s32 error = pop_tag(skb, tci); error != 0) return error;
  buf.vlan_proto = proto;
  buf.vlan_tci = tci;
  return 0;
}

namespace {

/// Addresses, protocol and ports of the packet's flow, in a form to be hashed; what is unknown is 0.
struct Flow {
  std::array<u32, 8> addresses{};
  u16 protocol = 0;
  u16 ip_proto = 0;
  std::array<u16, 2> ports{};
};
static_assert(sizeof(Flow) == 40);

Flow flow_of(const SkBuff& skb) {
  Flow flow;
  flow.protocol = skb.protocol;
  const s32 at = skb_network_offset(skb);
  if (at < 0 || static_cast<u32>(at) > skb.len) return flow;
  const ByteView ip(skb.data + at, skb.len - static_cast<u32>(at));
  std::size_t transport = 0;
  if (skb.protocol == net16(0x0800) && ip.size() >= 20) {
    std::memcpy(flow.addresses.data(), ip.data() + 12, 8);
    flow.ip_proto = static_cast<u8>(ip[9]);
    const bool fragment = (net16(load<u16>(ip.data() + 6)) & 0x3fff) != 0;
    if (!fragment) transport = (static_cast<u8>(ip[0]) & 15u) * 4u;
  } else if (skb.protocol == net16(0x86dd) && ip.size() >= 40) {
    std::memcpy(flow.addresses.data(), ip.data() + 8, 32);
    flow.ip_proto = static_cast<u8>(ip[6]);
    transport = 40;
  }
  const bool has_ports = flow.ip_proto == 6 || flow.ip_proto == 17 || flow.ip_proto == 132;
  if (transport != 0 && has_ports && transport + 4 <= ip.size())
    std::memcpy(flow.ports.data(), ip.data() + transport, 4);
  return flow;
}

}  // namespace

u32 skb_get_hash(SkBuff& skb) {
  if ((skb.hash_bits & (skb_l4_hash | skb_sw_hash)) != 0) return skb.hash;
  const Flow flow = flow_of(skb);
  u64 mixed = 0x9e3779b97f4a7c15;
  for (u64 word : std::bit_cast<std::array<u64, 5>>(flow)) {
    mixed = (mixed ^ word) * 0xff51afd7ed558ccd;
    mixed ^= mixed >> 32;
  }
  const auto hash = static_cast<u32>(mixed);
  skb.hash = hash != 0 ? hash : 1;
  skb.hash_bits = static_cast<u8>(skb.hash_bits | skb_sw_hash | (flow.ports[0] != 0 ? skb_l4_hash : 0));
  return skb.hash;
}

}  // namespace skep::helpers
