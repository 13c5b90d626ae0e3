// See interfaces.hpp.
#include "helpers/interfaces.hpp"

#include <linux/inet_diag.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/bytes.hpp"

namespace skep::helpers {
namespace {

class Socket {
 public:
  Socket(int family, int type, int protocol) : fd_(::socket(family, type | SOCK_CLOEXEC, protocol)) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

/// One netlink request with its attributes, and the one message that answers it.
template <class Body>
class Question {
 public:
  Question(u16 type, const Body& body) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = NLM_F_REQUEST;
    std::memcpy(bytes_.data() + sizeof header_, &body, sizeof body);
    used_ = NLMSG_ALIGN(sizeof header_ + sizeof body);
  }
  void put(u16 type, const void* data, std::size_t size) {
    const rtattr attribute{static_cast<u16>(RTA_LENGTH(size)), type};
    std::memcpy(bytes_.data() + used_, &attribute, sizeof attribute);
    std::memcpy(bytes_.data() + used_ + sizeof attribute, data, size);
    used_ += RTA_SPACE(size);
  }
  /// The answer's bytes behind the netlink header; empty: an error, or nothing of that kind.
  [[nodiscard]] ByteView ask(int bus) {
    const Socket socket(AF_NETLINK, SOCK_RAW, bus);
    header_.nlmsg_len = static_cast<u32>(used_);
    std::memcpy(bytes_.data(), &header_, sizeof header_);
    if (socket.fd() < 0 || ::send(socket.fd(), bytes_.data(), used_, 0) < 0) return {};
    const ssize_t got = ::recv(socket.fd(), answer_.data(), answer_.size(), 0);
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return {};
    const auto header = load<nlmsghdr>(answer_.data());
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) return {};
    const auto size = std::min<std::size_t>(static_cast<std::size_t>(got), header.nlmsg_len);
    return ByteView(answer_).first(size).subspan(NLMSG_HDRLEN);
  }

 private:
  nlmsghdr header_{};
  std::size_t used_ = 0;
  alignas(8) std::array<std::byte, 512> bytes_{};
  alignas(8) std::array<std::byte, 8192> answer_{};
};

/// Calls each(type, bytes) for the attributes in `bytes`.
template <class Each>
void attributes(ByteView bytes, Each each) {
  while (bytes.size() >= sizeof(rtattr)) {
    const auto attribute = load<rtattr>(bytes.data());
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > bytes.size()) return;
    each(attribute.rta_type, bytes.first(attribute.rta_len).subspan(sizeof(rtattr)));
    bytes = bytes.subspan(std::min<std::size_t>(RTA_ALIGN(attribute.rta_len), bytes.size()));
  }
}
u32 word(ByteView bytes) { return bytes.size() >= 4 ? load<u32>(bytes.data()) : 0; }
void copy_address(ByteView from, IpAddress& to) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), sizeof to));
}

}  // namespace

bool find_interface(u32 ifindex, Interface& found) {
  const Socket socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(ifindex);
  if (ifindex == 0 || socket.fd() < 0 || ::ioctl(socket.fd(), SIOCGIFNAME, &request) != 0) return false;
  found.ifindex = ifindex;
  std::memcpy(found.name.data(), request.ifr_name, found.name.size());
  if (::ioctl(socket.fd(), SIOCGIFMTU, &request) != 0) return false;
  found.mtu = static_cast<u32>(request.ifr_mtu);
  if (::ioctl(socket.fd(), SIOCGIFHWADDR, &request) != 0) return false;
  std::memcpy(found.address.data(), request.ifr_hwaddr.sa_data, found.address.size());
  const auto type = request.ifr_hwaddr.sa_family;
  found.hard_header_len = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK ? 14 : 0;
  return true;
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

bool find_socket(const SocketQuery& query, progs::TcpSock& found) {
  const std::size_t size = query.ipv6 ? 16 : 4;
  inet_diag_req_v2 body{};
  body.sdiag_family = query.ipv6 ? AF_INET6 : AF_INET;
  body.sdiag_protocol = query.tcp ? IPPROTO_TCP : IPPROTO_UDP;
  body.idiag_states = ~0u;
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
  return true;
}

}  // namespace skep::helpers
