// What helpers ask of the host's network: interfaces, routes, neighbours, sockets. Asked of the kernel each
// time (ioctl, rtnetlink, sock_diag), in the network namespace of the calling thread; never of kernel eBPF.
#pragma once
#include <array>
#include <optional>

#include "base/types.hpp"
#include "progs/net_device.hpp"
#include "progs/sock.hpp"

namespace skep::helpers {

struct Interface {
  u32 ifindex = 0;
  u32 mtu = 0;
  u32 hard_header_len = 14;
  std::array<u8, 6> address{};
  std::array<char, 16> name{};
  u32 flags = 0;  ///< IFF_UP, ...
};
/// False: there is no such interface.
[[nodiscard]] bool find_interface(u32 ifindex, Interface& found);

/// Fills in what programs may read of the interface `device.ifindex` and of its network namespace, which
/// `net` becomes: both stay where they are from then on.
void describe_device(progs::NetDevice& device, progs::Net& net);
/// Of the calling thread's network namespace; 0: not known.
[[nodiscard]] u64 netns_cookie();

/// An IPv4 address is the first word; network order.
using IpAddress = std::array<u32, 4>;

struct RouteQuery {
  bool ipv6 = false;
  IpAddress source{};
  IpAddress destination{};
  u32 out_ifindex = 0;  ///< 0: any
  u32 mark = 0;
  u8 tos = 0;
};
struct Route {
  u8 type = 0;  ///< RTN_UNICAST, ...; 0: there is none
  u32 out_ifindex = 0;
  u32 metric = 0;
  u32 mtu = 0;  ///< of the route; 0: its interface's
  bool lightweight_tunnel = false;
  bool has_gateway = false, gateway_ipv6 = false;
  IpAddress gateway{};
  bool has_source = false;
  IpAddress source{};  ///< preferred
};
[[nodiscard]] Route find_route(const RouteQuery& query);

/// The link-layer address of a neighbour that is known to be valid (NUD_VALID).
[[nodiscard]] std::optional<std::array<u8, 6>> find_neighbour(u32 ifindex, bool ipv6,
                                                              const IpAddress& address);

struct SocketQuery {
  bool ipv6 = false;
  bool tcp = true;
  IpAddress remote{}, local{};
  u16 remote_port = 0, local_port = 0;  ///< network order
  u32 ifindex = 0;
};
/// Fills `found` with the socket that a packet from `remote` to `local` would reach, a listening one
/// included, as far as sock_diag tells. False: there is none.
[[nodiscard]] bool find_socket(const SocketQuery& query, progs::TcpSock& found);

}  // namespace skep::helpers
