// bpf_fib_lookup(): the host's routes and neighbours (kernel: bpf_ipv4_fib_lookup() and bpf_ipv6_fib_lookup()
// of net/core/filter.c). Routes are asked for as the host itself would send; rules that match on the
// receiving interface (RTA_IIF) are not applied.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "helpers/families.hpp"
#include "helpers/interfaces.hpp"
#include "helpers/skb.hpp"

namespace skep::helpers {
namespace {

/// struct bpf_fib_lookup of the UAPI.
struct Params {
  u8 family = 0;
  u8 l4_protocol = 0;
  u16 sport = 0;
  u16 dport = 0;
  u16 tot_len = 0;  ///< out: mtu_result
  u32 ifindex = 0;
  u32 tos = 0;  ///< or flowinfo; out: rt_metric
  IpAddress source{};
  IpAddress destination{};
  u16 vlan_proto = 0;  ///< with vlan_tci: tbid
  u16 vlan_tci = 0;
  std::array<u8, 6> smac{};  ///< with dmac: mark
  std::array<u8, 6> dmac{};
};
static_assert(sizeof(Params) == 64);

enum Flag : u32 {
  direct = 1,
  output = 2,
  skip_neigh = 4,
  by_table = 8,
  want_source = 16,
  by_mark = 32,
  all_flags = 63
};
enum Answer : u64 {
  success,
  blackhole,
  unreachable,
  prohibit,
  not_fwded,
  fwd_disabled,
  unsupp_lwt,
  no_neigh,
  frag_needed,
  no_src_addr
};

bool forwards(const Interface& device, bool ipv6) {
  const std::string path =
      fmt::format("/proc/sys/net/ipv{}/conf/{}/forwarding", ipv6 ? 6 : 4, device.name.data());
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char value = '0';
  const bool read = ::read(fd, &value, 1) == 1;
  ::close(fd);
  return read && value != '0';
}

/// rt6_need_strict(): link-local, multicast and loopback addresses.
bool stays_on_link(const IpAddress& address) {
  const auto* bytes = reinterpret_cast<const u8*>(address.data());  // NOLINT: bytes of an address
  const bool loopback = address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] == 0x01000000;
  return bytes[0] == 0xff || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || loopback;
}

u64 of_type(u8 type) {
  enum : u8 { unicast_route = 1, blackhole_route = 6, unreachable_route = 7, prohibit_route = 8 };  // RTN_*
  switch (type) {
    case unicast_route:
      return success;
    case blackhole_route:
      return blackhole;
    case unreachable_route:
      return unreachable;
    case prohibit_route:
      return prohibit;
    default:
      return not_fwded;
  }
}

u64 lookup_route(Params& params, u32 flags, bool check_mtu) {
  const bool ipv6 = params.family == AF_INET6;
  if (ipv6 && (stays_on_link(params.destination) || stays_on_link(params.source))) return not_fwded;
  Interface device;
  if (!find_interface(params.ifindex, device)) return error_result(ENODEV);
  if (!forwards(device, ipv6)) return fwd_disabled;
  if ((flags & direct) != 0) return error_result(EOPNOTSUPP);
  RouteQuery query;
  query.ipv6 = ipv6;
  query.source = params.source;
  query.destination = params.destination;
  if (!ipv6) query.tos = static_cast<u8>(params.tos & 0xfc);
  if ((flags & output) != 0) query.out_ifindex = params.ifindex;
  if ((flags & by_mark) != 0) std::memcpy(&query.mark, params.smac.data(), sizeof query.mark);
  const Route route = find_route(query);
  if (const u64 kind = of_type(route.type); kind != success) return kind;
  if (!find_interface(route.out_ifindex, device)) return not_fwded;
  u32 mtu = 0;
  if (check_mtu) {
    mtu = route.mtu != 0 ? route.mtu : device.mtu;
    if (params.tot_len > mtu) {
      params.tot_len = static_cast<u16>(mtu);
      return frag_needed;
    }
  }
  if (route.lightweight_tunnel) return unsupp_lwt;
  params.tos = route.metric;
  params.ifindex = route.out_ifindex;
  if ((flags & want_source) != 0) {
    if (!route.has_source) return no_src_addr;
    params.source = route.source;
  }
  bool neighbour_ipv6 = ipv6;
  if (route.has_gateway) {
    if (route.gateway_ipv6 && !ipv6) params.family = AF_INET6;
    neighbour_ipv6 = route.gateway_ipv6;
    std::memcpy(params.destination.data(), route.gateway.data(), neighbour_ipv6 ? 16 : 4);
  }
  if ((flags & skip_neigh) == 0) {
    const auto neighbour = find_neighbour(params.ifindex, neighbour_ipv6, params.destination);
    if (!neighbour) return no_neigh;
    params.dmac = *neighbour;
    params.smac = device.address;
  }
  params.vlan_proto = params.vlan_tci = 0;
  if (mtu != 0) params.tot_len = static_cast<u16>(mtu);
  return success;
}

/// EINVAL for flags, EAFNOSUPPORT for families; one table of routes (BPF_FIB_LOOKUP_DIRECT) cannot be asked
/// alone over rtnetlink and gives EOPNOTSUPP. BPF_FIB_LOOKUP_TBID means something with that only.
u64 lookup(u64 to, u64 size, u64 flags64, bool check_mtu) {
  const u32 flags = static_cast<u32>(flags64);
  if (static_cast<s32>(static_cast<u32>(size)) < static_cast<s32>(sizeof(Params)) ||
      (flags & ~u32{all_flags}) != 0)
    return error_result(EINVAL);
  auto params = load<Params>(pointer<std::byte>(to));
  if (params.family != AF_INET && params.family != AF_INET6) return error_result(EAFNOSUPPORT);
  const u64 result = lookup_route(params, flags, check_mtu);
  store(pointer<std::byte>(to), params);
  return result;
}

u64 xdp_fib_lookup(u64, u64 params, u64 size, u64 flags, u64, RunContext*) {
  return lookup(params, size, flags, true);
}

u64 skb_fib_lookup(u64 context, u64 to, u64 size, u64 flags, u64, RunContext*) {
  const auto* const given = pointer<const Params>(to);
  const bool check_mtu = static_cast<u32>(size) >= sizeof(Params) && given->tot_len != 0;
  const u64 result = lookup(to, size, flags, check_mtu);
  if (result != success || check_mtu) return result;
  auto& params = *pointer<Params>(to);
  Interface device;
  if (!find_interface(params.ifindex, device)) return result;
  params.tot_len = static_cast<u16>(device.mtu);
  constexpr u32 vlan = 4;
  return skb_of(context).buf.len <= device.mtu + device.hard_header_len + vlan ? u64{success}
                                                                               : u64{frag_needed};
}

constexpr HelperRow rows[] = {{69, skb_fib_lookup}, {69, xdp_fib_lookup, ProgType::xdp}};

}  // namespace

std::span<const HelperRow> fib_family() { return rows; }

}  // namespace skep::helpers
