// Helpers that find the host's sockets and look at them (kernel: net/core/filter.c). A socket that a program
// looked up is a copy of what sock_diag says, made for it and gone when it is released.
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "helpers/families.hpp"
#include "helpers/interfaces.hpp"
#include "helpers/skb.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::helpers {
namespace {

using progs::Sock;
using progs::TcpSock;

enum TcpState : u8 { time_wait = 6, listen = 10, new_syn_recv = 12 };
constexpr u16 protocol_tcp = 6;

bool is_full(const Sock& sock) { return sock.state != time_wait && sock.state != new_syn_recv; }

/// struct bpf_sock_tuple: addresses and ports of a packet from source to destination; its size says the
/// family.
u64 look_up(u64 tuple, u64 size64, u64 netns, u64 flags, bool tcp, bool any_state, u32 ifindex) {
  const u32 size = static_cast<u32>(size64);
  constexpr u32 ip4_size = 12, ip6_size = 36;
  if (flags != 0 || static_cast<s64>(netns) > INT32_MAX || (size != ip4_size && size != ip6_size)) return 0;
  if (static_cast<s32>(static_cast<u32>(netns)) >= 0) return 0;  // another network namespace: out of reach
  const auto* bytes = pointer<const std::byte>(tuple);
  SocketQuery query;
  query.ipv6 = size == ip6_size;
  query.tcp = tcp;
  query.ifindex = ifindex;
  const u32 address = query.ipv6 ? 16 : 4;
  std::memcpy(query.remote.data(), bytes, address);
  std::memcpy(query.local.data(), bytes + address, address);
  query.remote_port = load<u16>(bytes + 2 * address);
  query.local_port = load<u16>(bytes + 2 * address + 2);
  TcpSock found;
  if (!find_socket(query, found) || (!any_state && !is_full(found.sock))) return 0;
  return reinterpret_cast<u64>(new (std::nothrow) TcpSock(found));
}

u32 device_of(const progs::SkBuff& skb) { return skb.dev != nullptr ? skb.dev->ifindex : 0; }
/// The loopback of a test run is no interface that packets came in by.
u32 arrival(u32 ifindex) { return ifindex > 1 ? ifindex : 0; }

u64 skb_lookup_tcp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, true, false, arrival(device_of(skb_of(context).buf)));
}
u64 skb_lookup_udp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, false, false, arrival(device_of(skb_of(context).buf)));
}
u64 skc_lookup_tcp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, true, true, arrival(device_of(skb_of(context).buf)));
}
u32 xdp_arrival(u64 context) { return arrival(pointer<progs::XdpBuff>(context)->rxq->dev->ifindex); }
u64 xdp_lookup_tcp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, true, false, xdp_arrival(context));
}
u64 xdp_lookup_udp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, false, false, xdp_arrival(context));
}
u64 xdp_skc_lookup_tcp(u64 context, u64 tuple, u64 size, u64 netns, u64 flags, RunContext*) {
  return look_up(tuple, size, netns, flags, true, true, xdp_arrival(context));
}

u64 sk_release(u64 sock, u64, u64, u64, u64, RunContext*) {
  delete pointer<TcpSock>(sock);  // references are only ever to what look_up() made
  return 0;
}
u64 sk_fullsock(u64 sock, u64, u64, u64, u64, RunContext*) {
  return is_full(*pointer<Sock>(sock)) ? sock : 0;
}
u64 tcp_sock(u64 sock, u64, u64, u64, u64, RunContext*) {
  const Sock& sk = *pointer<Sock>(sock);
  return is_full(sk) && sk.protocol == protocol_tcp ? sock : 0;
}
u64 get_listener_sock(u64 sock, u64, u64, u64, u64, RunContext*) {
  return pointer<Sock>(sock)->state == listen ? sock : 0;
}

// --- a socket as what it is (bpf_skc_to_*()): itself, or nullptr ---

constexpr u16 protocol_udp = 17, af_unix = 1, af_inet6 = 10, sock_dgram = 2;
u64 if_so(bool so, u64 sock) { return so ? sock : 0; }

u64 to_tcp_sock(u64 sock, u64, u64, u64, u64, RunContext*) {
  const auto* sk = pointer<Sock>(sock);
  return if_so(sk != nullptr && is_full(*sk) && sk->protocol == protocol_tcp, sock);
}
u64 to_tcp6_sock(u64 sock, u64, u64, u64, u64, RunContext* run) {
  return if_so(to_tcp_sock(sock, 0, 0, 0, 0, run) != 0 && pointer<Sock>(sock)->family == af_inet6, sock);
}
/// By what it is called with (sk_prot), which only sockets that were looked up as TCP's have.
u64 to_tcp_in(u64 sock, u8 state) {
  const auto* sk = pointer<Sock>(sock);
  return if_so(sk != nullptr && sk->protocol == protocol_tcp && sk->state == state, sock);
}
u64 to_tcp_timewait_sock(u64 sock, u64, u64, u64, u64, RunContext*) { return to_tcp_in(sock, time_wait); }
u64 to_tcp_request_sock(u64 sock, u64, u64, u64, u64, RunContext*) { return to_tcp_in(sock, new_syn_recv); }
u64 to_udp6_sock(u64 sock, u64, u64, u64, u64, RunContext*) {
  const auto* sk = pointer<Sock>(sock);
  return if_so(sk != nullptr && is_full(*sk) && sk->protocol == protocol_udp && sk->type == sock_dgram &&
                   sk->family == af_inet6,
               sock);
}
u64 to_unix_sock(u64 sock, u64, u64, u64, u64, RunContext*) {
  const auto* sk = pointer<Sock>(sock);
  return if_so(sk != nullptr && is_full(*sk) && sk->family == af_unix, sock);
}
/// sock_diag does not say which TCP socket carries a part of a multipath connection.
u64 to_mptcp_sock(u64, u64, u64, u64, u64, RunContext*) { return 0; }

u64 get_netns_cookie(u64, u64, u64, u64, u64, RunContext*) { return netns_cookie(); }

u64 sk_cgroup_id(u64, u64, u64, u64, u64, RunContext*) {
  constexpr u64 root = 1;
  return root;
}
u64 sk_ancestor_cgroup_id(u64, u64 level, u64, u64, u64, RunContext*) {
  constexpr u64 root = 1;
  return static_cast<u32>(level) == 0 ? root : 0;
}

/// bpf_sk_assign(): skep delivers packets to the host's stack, which finds their socket itself.
u64 skb_sk_assign(u64, u64 sock, u64 flags, u64, u64, RunContext*) {
  return error_result(sock == 0 || flags != 0 ? EINVAL : EOPNOTSUPP);
}

/// bpf_sk_lookup_assign()
u64 lookup_sk_assign(u64 context, u64 sock64, u64 flags, u64, u64, RunContext*) {
  constexpr u64 replace = 1, no_reuseport = 2;
  auto& lookup = *pointer<progs::SkLookup>(context);
  auto* sock = pointer<Sock>(sock64);
  if ((flags & ~(replace | no_reuseport)) != 0) return error_result(EINVAL);
  if (sock != nullptr && sock->protocol != lookup.protocol) return error_result(EPROTOTYPE);
  if (sock != nullptr && sock->family != lookup.family && lookup.family == af_inet6)
    return error_result(EAFNOSUPPORT);
  if (lookup.selected_sk != sock) {
    if (lookup.selected_sk != nullptr && (flags & replace) == 0) return error_result(EEXIST);
    lookup.selected_sk = sock;
  }
  lookup.no_reuseport = (flags & no_reuseport) != 0;
  return 0;
}

constexpr HelperRow rows[] = {
    {124, skb_sk_assign},
    {124, lookup_sk_assign, ProgType::sk_lookup},
    {128, sk_cgroup_id},
    {129, sk_ancestor_cgroup_id},
    {84, skb_lookup_tcp},
    {84, xdp_lookup_tcp, ProgType::xdp},
    {85, skb_lookup_udp},
    {85, xdp_lookup_udp, ProgType::xdp},
    {86, sk_release},
    {95, sk_fullsock},
    {96, tcp_sock},
    {98, get_listener_sock},
    {99, skc_lookup_tcp},
    {99, xdp_skc_lookup_tcp, ProgType::xdp},
    {122, get_netns_cookie},
    {136, to_tcp6_sock},
    {137, to_tcp_sock},
    {138, to_tcp_timewait_sock},
    {139, to_tcp_request_sock},
    {140, to_udp6_sock},
    {178, to_unix_sock},
    {196, to_mptcp_sock},
};

}  // namespace

std::span<const HelperRow> socket_family() { return rows; }

}  // namespace skep::helpers
