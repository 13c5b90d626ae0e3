// See interfaces.hpp.
#include "helpers/interfaces.hpp"

#include <linux/inet_diag.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstring>

#include "helpers/clock.hpp"
#include "helpers/netlink_question.hpp"

namespace skep::helpers {
bool find_interface(u32 ifindex, Interface& found) {
  const UniqueFd socket = host_socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(ifindex);
  if (ifindex == 0 || socket.get() < 0 || ::ioctl(socket.get(), SIOCGIFNAME, &request) != 0) return false;
  found.ifindex = ifindex;
  std::memcpy(found.name.data(), request.ifr_name, found.name.size());
  if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return false;
  found.mtu = static_cast<u32>(request.ifr_mtu);
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) return false;
  std::memcpy(found.address.data(), request.ifr_hwaddr.sa_data, found.address.size());
  const auto type = request.ifr_hwaddr.sa_family;
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) found.flags = static_cast<u16>(request.ifr_flags);
  found.hard_header_len = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK ? 14 : 0;
  return true;
}

void describe_device(progs::NetDevice& device, progs::Net& net) {
  Interface found;
  if (find_interface(device.ifindex, found)) {
    device.mtu = found.mtu;
    device.hard_header_len = static_cast<u16>(found.hard_header_len);
    std::memcpy(device.name.data(), found.name.data(), device.name.size());
    std::memcpy(device.address.data(), found.address.data(), found.address.size());
    device.flags = found.flags;
  }
  struct stat info{};
  if (::stat("/proc/thread-self/ns/net", &info) == 0) net.inum = static_cast<u32>(info.st_ino);
  net.cookie = netns_cookie();
  device.net = &net;
  device.dev_addr = &device.address;
}

u64 netns_cookie() {
  constexpr int so_netns_cookie = 71;
  const UniqueFd socket = host_socket(AF_INET, SOCK_DGRAM, 0);
  u64 cookie = 0;
  socklen_t size = sizeof cookie;
  const bool known =
      socket.get() >= 0 && ::getsockopt(socket.get(), SOL_SOCKET, so_netns_cookie, &cookie, &size) == 0;
  return known ? cookie : 0;
}

Route find_route(const RouteQuery& query) {
  const std::size_t size = query.ipv6 ? 16 : 4;
  rtmsg body{};
  body.rtm_family = query.ipv6 ? AF_INET6 : AF_INET;
  body.rtm_dst_len = static_cast<u8>(size * 8);
  body.rtm_tos = query.tos;
  body.rtm_flags = RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE;
  Question<rtmsg> question(RTM_GETROUTE, body);
  question.put(RTA_DST, query.destination.data(), size);
  if (query.out_ifindex != 0) question.put(RTA_OIF, &query.out_ifindex, 4);
  if (query.mark != 0) question.put(RTA_MARK, &query.mark, 4);
  const ByteView answer = question.ask(NETLINK_ROUTE);
  Route route;
  if (answer.size() < sizeof(rtmsg)) return route;
  route.type = load<rtmsg>(answer.data()).rtm_type;
  attributes(answer.subspan(NLMSG_ALIGN(sizeof(rtmsg))), [&](u16 type, ByteView bytes) {
    switch (type) {
      case RTA_OIF:
        route.out_ifindex = word(bytes);
        break;
      case RTA_PRIORITY:
        route.metric = word(bytes);
        break;
      case RTA_GATEWAY:
        route.has_gateway = true;
        route.gateway_ipv6 = query.ipv6;
        copy_address(bytes, route.gateway);
        break;
      case RTA_VIA:  // struct rtvia: a gateway of another family
        if (bytes.size() <= 2) break;
        route.has_gateway = true;
        route.gateway_ipv6 = bytes.size() >= 18;
        copy_address(bytes.subspan(2), route.gateway);
        break;
      case RTA_PREFSRC:
        route.has_source = true;
        copy_address(bytes, route.source);
        break;
      case RTA_MULTIPATH:  // the first hop; the kernel spreads flows over them
        if (bytes.size() >= sizeof(rtnexthop)) {
          const auto hop = load<rtnexthop>(bytes.data());
          route.out_ifindex = static_cast<u32>(hop.rtnh_ifindex);
          const auto length = std::min<std::size_t>(hop.rtnh_len, bytes.size());
          attributes(bytes.first(length).subspan(sizeof(rtnexthop)), [&](u16 inner, ByteView gateway) {
            if (inner != RTA_GATEWAY) return;
            route.has_gateway = true;
            route.gateway_ipv6 = query.ipv6;
            copy_address(gateway, route.gateway);
          });
        }
        break;
      case RTA_METRICS:
        attributes(bytes, [&](u16 metric, ByteView value) {
          if (metric == RTAX_MTU) route.mtu = word(value);
        });
        break;
      case RTA_ENCAP_TYPE:
        route.lightweight_tunnel = true;
        break;
      default:
        break;
    }
  });
  return route;
}

std::optional<std::array<u8, 6>> find_neighbour(u32 ifindex, bool ipv6, const IpAddress& address) {
  constexpr u16 valid = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY;
  ndmsg body{};
  body.ndm_family = ipv6 ? AF_INET6 : AF_INET;
  body.ndm_ifindex = static_cast<s32>(ifindex);
  Question<ndmsg> question(RTM_GETNEIGH, body);
  question.put(NDA_DST, address.data(), ipv6 ? 16 : 4);
  const ByteView answer = question.ask(NETLINK_ROUTE);
  if (answer.size() < sizeof(ndmsg) || (load<ndmsg>(answer.data()).ndm_state & valid) == 0)
    return std::nullopt;
  std::optional<std::array<u8, 6>> found;
  attributes(answer.subspan(NLMSG_ALIGN(sizeof(ndmsg))), [&](u16 type, ByteView bytes) {
    if (type != NDA_LLADDR || bytes.size() < 6) return;
    found.emplace();
    std::memcpy(found->data(), bytes.data(), 6);
  });
  return found;
}

namespace {

/// What struct tcp_info tells of struct tcp_sock; older kernels give less of it.
void take_tcp_info(ByteView bytes, progs::TcpSock& found) {
  tcp_info info{};
  std::memcpy(&info, bytes.data(), std::min(bytes.size(), sizeof info));
  constexpr u32 established = 1;
  const auto set = [&](u16 user_offset, auto value) {
    found.set(progs::tcp_kernel_offset(user_offset), value);
  };
  set(0, info.tcpi_snd_cwnd);
  set(4, u32{info.tcpi_rtt << 3});
  set(8, info.tcpi_min_rtt);
  set(12, info.tcpi_snd_ssthresh);
  set(28, info.tcpi_snd_mss);
  set(44, info.tcpi_state == established ? info.tcpi_unacked : u32{0});  // of a listening one: its backlog
  set(48, info.tcpi_retrans);
  set(52, info.tcpi_total_retrans);
  set(56, info.tcpi_segs_in);
  set(60, info.tcpi_data_segs_in);
  set(64, info.tcpi_segs_out);
  set(68, info.tcpi_data_segs_out);
  set(72, info.tcpi_lost);
  set(76, info.tcpi_state == established ? info.tcpi_sacked : u32{0});
  set(80, u64{info.tcpi_bytes_received});
  set(88, u64{info.tcpi_bytes_acked});
  set(96, info.tcpi_dsack_dups);
  set(100, info.tcpi_delivered);
  set(104, info.tcpi_delivered_ce);
  set(108, info.tcpi_retransmits);
  found.set(progs::TcpSock::lsndtime_offset,
            static_cast<u32>(jiffies_now() - ms_to_jiffies(info.tcpi_last_data_sent)));
}

}  // namespace

bool find_socket(const SocketQuery& query, progs::TcpSock& found) {
  const std::size_t size = query.ipv6 ? 16 : 4;
  inet_diag_req_v2 body{};
  body.sdiag_family = query.ipv6 ? AF_INET6 : AF_INET;
  body.sdiag_protocol = query.tcp ? IPPROTO_TCP : IPPROTO_UDP;
  body.idiag_states = ~0u;
  if (query.tcp) body.idiag_ext = 1u << (INET_DIAG_INFO - 1);
  // Of TCP sockets the source is the local side, of UDP sockets the remote one (inet_diag's history).
  std::memcpy(query.tcp ? body.id.idiag_src : body.id.idiag_dst, query.local.data(), size);
  std::memcpy(query.tcp ? body.id.idiag_dst : body.id.idiag_src, query.remote.data(), size);
  (query.tcp ? body.id.idiag_sport : body.id.idiag_dport) = query.local_port;
  (query.tcp ? body.id.idiag_dport : body.id.idiag_sport) = query.remote_port;
  body.id.idiag_if = query.ifindex;
  body.id.idiag_cookie[0] = body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  Question<inet_diag_req_v2> question(SOCK_DIAG_BY_FAMILY, body);
  const ByteView answer = question.ask(NETLINK_SOCK_DIAG);
  if (answer.size() < sizeof(inet_diag_msg)) return false;
  const auto message = load<inet_diag_msg>(answer.data());
  progs::Sock& sock = found.sock;
  sock.family = message.idiag_family;
  sock.state = message.idiag_state;
  sock.type = query.tcp ? SOCK_STREAM : SOCK_DGRAM;
  sock.protocol = query.tcp ? IPPROTO_TCP : IPPROTO_UDP;
  sock.num = __builtin_bswap16(message.id.idiag_sport);
  sock.dport = message.id.idiag_dport;
  sock.bound_dev_if = message.id.idiag_if;
  sock.cookie = u64{message.id.idiag_cookie[1]} << 32 | message.id.idiag_cookie[0];
  sock.uid = message.idiag_uid;
  if (message.idiag_family == AF_INET) {
    sock.rcv_saddr = message.id.idiag_src[0];
    sock.daddr = message.id.idiag_dst[0];
  } else {
    std::memcpy(sock.v6_rcv_saddr.data(), message.id.idiag_src, 16);
    std::memcpy(sock.v6_daddr.data(), message.id.idiag_dst, 16);
  }
  attributes(answer.subspan(NLMSG_ALIGN(sizeof(inet_diag_msg))), [&](u16 type, ByteView bytes) {
    if (type == INET_DIAG_INFO) take_tcp_info(bytes, found);
    if (type == INET_DIAG_MARK) sock.mark = word(bytes);
  });
  return true;
}

}  // namespace skep::helpers
