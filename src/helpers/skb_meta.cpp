// Helpers about a packet rather than its bytes: hash, tunnel, socket, control group, where it goes next
// (kernel: net/core/filter.c, net/core/lwt_bpf.c).
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/interfaces.hpp"
#include "helpers/simple.hpp"
#include "helpers/skb.hpp"
#include "kernel/uapi.hpp"

namespace skep::helpers {
namespace {

using progs::SkBuff;

constexpr u16 ip4 = 0x0008, ip6 = 0xdd86;  // network order
u32 low(u64 value) { return static_cast<u32>(value); }

// --- hash ---

u64 get_hash_recalc(u64 context, u64, u64, u64, u64, RunContext*) {
  return skb_get_hash(skb_of(context).buf);
}
u64 set_hash_invalid(u64 context, u64, u64, u64, u64, RunContext*) {
  skb_clear_hash(skb_of(context).buf);
  return 0;
}
u64 set_hash(u64 context, u64 hash, u64, u64, u64, RunContext*) {
  SkBuff& skb = skb_of(context).buf;
  skb.hash = low(hash);
  skb.hash_bits |= progs::skb_sw_hash | progs::skb_l4_hash;
  return 0;
}

// --- tunnels: struct bpf_tunnel_key ---

constexpr u64 tun_ipv6 = 1, zero_csum_tx = 2, dont_fragment = 4, seq_number = 8, no_tunnel_key = 16,
              tun_flags = 16;
constexpr u32 at_label = 24, at_local = 28, at_ext = 22, key_size = 44;

/// Sizes that the structure had in its time: up to remote_ipv6[1], tunnel_ext, tunnel_label, local_ipv6.
bool is_known_key_size(u32 size) {
  return size == 8 || size == at_ext || size == at_label || size == at_local || size == key_size;
}

u64 skb_set_tunnel_key(u64 context, u64 from, u64 size64, u64 flags, u64, RunContext*) {
  constexpr u64 known = tun_ipv6 | zero_csum_tx | dont_fragment | seq_number | no_tunnel_key;
  Skb& skb = skb_of(context);
  const u32 size = low(size64);
  if ((flags & ~known) != 0 || !is_known_key_size(size)) return error_result(EINVAL);
  std::array<std::byte, key_size> key{};
  std::memcpy(key.data(), pointer<const std::byte>(from), size);
  const bool label = load<u32>(key.data() + at_label) != 0;
  if (((flags & tun_ipv6) == 0 && label) || load<u16>(key.data() + at_ext) != 0) return error_result(EINVAL);
  skb.tunnel = SkbTunnel{.set = true, .transmit = true, .key = key, .flags = low(flags)};
  skb.buf.refdst = 1;  // the tunnel's metadata is the packet's route now
  return 0;
}

/// What a receiving tunnel left; a packet that is to be sent through one (IP_TUNNEL_INFO_TX) shows its key,
/// too, with the far address as the local one, as skb_tunnel_info() does.
u64 skb_get_tunnel_key(u64 context, u64 to64, u64 size64, u64 flags, u64, RunContext*) {
  Skb& skb = skb_of(context);
  const u32 size = low(size64);
  auto* to = pointer<std::byte>(to64);
  const auto refuse = [&](int code) {
    std::memset(to, 0, size);
    return error_result(code);
  };
  if (!skb.tunnel.set || (flags & ~(tun_ipv6 | tun_flags)) != 0) return refuse(EINVAL);
  const bool is_ipv6 = (skb.tunnel.flags & tun_ipv6) != 0;
  if (is_ipv6 != ((flags & tun_ipv6) != 0)) return refuse(EPROTO);
  if (!is_known_key_size(size) || (size == 8 && is_ipv6)) return refuse(EINVAL);
  std::array<std::byte, key_size> key = skb.tunnel.key;
  if (skb.tunnel.transmit) {
    std::array<std::byte, 16> remote{};
    std::memcpy(remote.data(), key.data() + 4, 16);
    std::memcpy(key.data() + 4, key.data() + at_local, 16);
    std::memcpy(key.data() + at_local, remote.data(), 16);
  }
  if (!is_ipv6) {
    std::memset(key.data() + 8, 0, 12);
    std::memset(key.data() + at_label, 0, 4);
    std::memset(key.data() + at_local + 4, 0, 12);
  }
  u16 ext = 0;
  if ((flags & tun_flags) != 0) {  // TUNNEL_CSUM, _KEY, _SEQ, _DONT_FRAGMENT, _NOCACHE in network order
    const u32 set = skb.tunnel.flags;
    ext =
        static_cast<u16>(((set & zero_csum_tx) == 0 ? 0x0100 : 0) |
                         ((set & no_tunnel_key) == 0 ? 0x0400 : 0) | ((set & seq_number) != 0 ? 0x0800 : 0) |
                         ((set & dont_fragment) != 0 ? 0x0001 : 0) | (skb.tunnel.transmit ? 0x0020 : 0));
  }
  store<u16>(key.data() + at_ext, ext);
  std::memcpy(to, key.data(), size);
  return 0;
}

u64 skb_set_tunnel_opt(u64 context, u64 from, u64 size64, u64, u64, RunContext*) {
  Skb& skb = skb_of(context);
  const u32 size = low(size64);
  if (!skb.tunnel.set || !skb.tunnel.transmit || size % 4 != 0) return error_result(EINVAL);
  if (size > skb.tunnel.options.size()) return error_result(ENOMEM);
  std::memcpy(skb.tunnel.options.data(), pointer<const std::byte>(from), size);
  skb.tunnel.options_len = size;
  return 0;
}
u64 skb_get_tunnel_opt(u64 context, u64 to64, u64 size64, u64, u64, RunContext*) {
  const Skb& skb = skb_of(context);
  const u32 size = low(size64);
  auto* to = pointer<std::byte>(to64);
  std::memset(to, 0, size);
  if (!skb.tunnel.set || skb.tunnel.options_len == 0) return error_result(ENOENT);
  if (size < skb.tunnel.options_len) return error_result(ENOMEM);
  std::memcpy(to, skb.tunnel.options.data(), skb.tunnel.options_len);
  return skb.tunnel.options_len;
}

// --- the socket, the control group, the route. Packets of test runs have a socket of nobody; those of
// interfaces have none. ---

u64 get_socket_cookie(u64 context, u64, u64, u64, u64, RunContext*) {
  const progs::Sock* sk = skb_of(context).buf.sk;
  return sk != nullptr ? sk->cookie : 0;
}
u64 get_socket_uid(u64 context, u64, u64, u64, u64, RunContext*) {
  constexpr u64 overflow_uid = 65534;
  const progs::Sock* sk = skb_of(context).buf.sk;
  return sk != nullptr ? sk->uid : overflow_uid;
}
u64 zero(u64, u64, u64, u64, u64, RunContext*) { return 0; }
u64 skb_cgroup_id(u64 context, u64, u64, u64, u64, RunContext*) {
  constexpr u64 root = 1;
  return skb_of(context).buf.sk != nullptr ? root : 0;
}
u64 skb_ancestor_cgroup_id(u64 context, u64 level, u64, u64, u64, RunContext*) {
  constexpr u64 root = 1;
  return skb_of(context).buf.sk != nullptr && static_cast<s32>(low(level)) == 0 ? root : 0;
}
/// Packets that came through no IPsec policy have no state.
u64 skb_get_xfrm_state(u64, u64, u64 to, u64 size, u64, RunContext*) {
  std::memset(pointer<std::byte>(to), 0, low(size));
  return error_result(EINVAL);
}

u64 skb_set_tstamp(u64 context, u64 tstamp, u64 type64, u64, u64, RunContext*) {
  enum : u32 { realtime, monotonic, tai };
  SkBuff& skb = skb_of(context).buf;
  const u32 type = low(type64);
  if (skb.protocol != ip4 && skb.protocol != ip6) return error_result(EOPNOTSUPP);
  if (type > tai || (type != realtime && tstamp == 0)) return error_result(EINVAL);
  skb.tstamp = tstamp;
  skb.time_bits = static_cast<u8>((skb.time_bits & ~u32{progs::skb_tstamp_type_mask}) | type);
  return 0;
}

/// skb_protocol() without VLAN tags (__vlan_get_protocol()): what the innermost tag carries; 0 if it is cut
/// off.
u16 protocol_behind_tags(const SkBuff& skb) {
  constexpr u16 tag8021q = 0x0081, tag8021ad = 0xa888;  // network order
  constexpr u32 tag_bytes = 4, eth_header = 14;
  constexpr int tags_max = 8;
  u16 type = skb.protocol;
  if (type != tag8021q && type != tag8021ad) return type;
  u32 depth = skb.mac_len >= tag_bytes ? skb.mac_len - tag_bytes : eth_header;
  for (int tags = 0; type == tag8021q || type == tag8021ad; depth += tag_bytes) {
    if (depth + tag_bytes > skb.len || ++tags == tags_max) return 0;
    type = load<u16>(skb.data + depth + 2);
  }
  return type;
}

/// INET_ECN_set_ce(): 1 if the packet is marked now (or was), 0 if it can carry no mark.
u64 skb_ecn_set_ce(u64 context, u64, u64, u64, u64, RunContext*) {
  enum : u8 { not_ect = 0, ce = 3 };
  SkBuff& skb = skb_of(context).buf;
  const s32 offset = skb_network_offset(skb);
  const u16 protocol = protocol_behind_tags(skb);
  const u32 header = protocol == ip4 ? 20 : protocol == ip6 ? 40 : 0;
  if (header == 0 || skb_headlen(skb) < header) return 0;
  if (offset < 0 || static_cast<u32>(offset) + header > skb_headlen(skb)) return 0;
  std::byte* ip = skb.data + offset;
  if (protocol == ip4) {
    const auto tos = static_cast<u8>(ip[1]);
    if ((tos & ce) == not_ect) return 0;
    if ((tos & ce) == ce) return 1;
    // IP_ECN_set_ce(): the header's sum changes by what the mark adds
    const u16 ecn = __builtin_bswap16(static_cast<u16>((tos + 1u) & ce));
    const auto by = static_cast<u16>(__builtin_bswap16(0xfffb) + ecn);
    const auto sum = static_cast<u16>(load<u16>(ip + 10) + by);
    store<u16>(ip + 10, static_cast<u16>(sum + (sum < by ? 1 : 0)));
    ip[1] = static_cast<std::byte>(tos | ce);
    return 1;
  }
  const u16 word = __builtin_bswap16(load<u16>(ip));
  if ((word >> 4 & ce) == not_ect) return 0;
  store<u16>(ip, __builtin_bswap16(static_cast<u16>(word | ce << 4)));
  return 1;
}

// --- where the packet goes: TC_ACT_REDIRECT and the hook does the rest ---

constexpr u64 act_shot = 2, act_redirect = 7;
constexpr u32 f_ingress = 1, f_neigh = 1u << 16, f_peer = 1u << 17, f_nexthop = 1u << 18;

u64 redirect(u64 ifindex, u64 flags, u64, u64, u64, RunContext* run) {
  constexpr RedirectRule rule = tc_redirect_rule;
  static_assert(rule.allowed_flags == f_ingress && rule.done == act_redirect && rule.refused == act_shot);
  if ((flags & ~u64{rule.allowed_flags}) != 0) return rule.refused;
  run->redirect = {.ifindex = low(ifindex), .flags = low(flags)};
  return rule.done;
}
u64 redirect_peer(u64 ifindex, u64 flags, u64, u64, u64, RunContext* run) {
  if (flags != 0) return act_shot;
  run->redirect = {.ifindex = low(ifindex), .flags = f_peer};
  return act_redirect;
}
u64 redirect_neigh(u64 ifindex, u64 params, u64 size64, u64 flags, u64, RunContext* run) {
  const auto size = static_cast<s32>(low(size64));
  constexpr s32 wanted = 20;  // struct bpf_redir_neigh
  if ((size != 0 && size < wanted) || flags != 0) return act_shot;
  run->redirect = {.ifindex = low(ifindex), .flags = f_neigh | (size != 0 ? f_nexthop : 0)};
  if (size != 0) std::memcpy(run->next_hop.data(), pointer<const std::byte>(params), wanted);
  return act_redirect;
}

/// A copy goes out of, or into, an interface now; the packet itself goes on.
u64 clone_redirect(u64 context, u64 ifindex, u64 flags, u64, u64, RunContext* run) {
  Skb& skb = skb_of(context);
  if ((flags & ~u64{f_ingress}) != 0) return error_result(EINVAL);
  if (skb_shared_info(skb.buf).gso_size != 0 && skb_shared_info(skb.buf).gso_type == 0)
    return error_result(EBADMSG);
  Interface target;
  if (!find_interface(low(ifindex), target)) return error_result(EINVAL);
  if (run->packets == nullptr) return 0;  // a test run: the copy reaches nobody
  const bool sent =
      run->packets->transmit(low(ifindex), (flags & f_ingress) != 0, {skb.buf.data, skb.buf.len});
  return sent ? 0 : error_result(ENETDOWN);
}

// --- bpf_check_mtu() ---

u64 check_mtu_of(u32 ifindex, u32 own_ifindex, u32 packet_len, u64 mtu_len, s32 diff, bool gso) {
  enum : u64 { success = 0, frag_needed = 1 };
  Interface device;
  if (!find_interface(ifindex != 0 ? ifindex : own_ifindex, device)) return error_result(ENODEV);
  auto& in_out = *pointer<u32>(mtu_len);
  const s64 most = s64{device.mtu} + device.hard_header_len;
  s64 len = in_out != 0 ? s64{in_out} + device.hard_header_len : s64{packet_len};
  len += diff;
  in_out = device.mtu;
  return len <= most || gso ? success : frag_needed;
}

u64 skb_check_mtu(u64 context, u64 ifindex, u64 mtu_len, u64 diff, u64 flags, RunContext*) {
  constexpr u64 check_segs = 1;
  SkBuff& skb = skb_of(context).buf;
  if ((flags & ~check_segs) != 0) return error_result(EINVAL);
  if ((flags & check_segs) != 0 && (low(diff) != 0 || *pointer<u32>(mtu_len) != 0))
    return error_result(EINVAL);
  return check_mtu_of(low(ifindex), skb.dev->ifindex, skb.len, mtu_len, static_cast<s32>(low(diff)),
                      skb_shared_info(skb).gso_size != 0);
}

constexpr HelperRow rows[] = {
    {13, clone_redirect},
    {20, skb_get_tunnel_key},
    {21, skb_set_tunnel_key},
    {23, redirect},
    {24, zero},  // get_route_realm
    {29, skb_get_tunnel_opt},
    {30, skb_set_tunnel_opt},
    {34, get_hash_recalc},
    {41, set_hash_invalid},
    {46, get_socket_cookie},
    {47, get_socket_uid},
    {48, set_hash},
    {66, skb_get_xfrm_state},
    {79, skb_cgroup_id},
    {83, skb_ancestor_cgroup_id},
    {97, skb_ecn_set_ce},
    {151, zero},  // skb_cgroup_classid
    {152, redirect_neigh},
    {155, redirect_peer},
    {163, skb_check_mtu},
    {192, skb_set_tstamp},
};

}  // namespace

std::span<const HelperRow> skb_meta_family() { return rows; }

}  // namespace skep::helpers
