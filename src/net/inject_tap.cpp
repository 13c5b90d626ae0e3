// See inject_tap.hpp.
#include "net/inject_tap.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "net/netlink.hpp"

namespace skep::net {
namespace {

/// The longest frame a TAP takes: 65535 with its Ethernet header (tun.c: MAX_MTU).
constexpr u32 kTapMtu = 65535 - ETH_HLEN;

void link_message(Request& request, u32 ifindex, u32 flags) {
  auto& link = request.begin<ifinfomsg>(RTM_NEWLINK, NLM_F_ACK);
  link.ifi_index = static_cast<int>(ifindex);
  link.ifi_flags = flags;
  link.ifi_change = flags;
}

/// No address of its own, hence nothing that the kernel would send on it.
Result<void> silence_ipv6(Netlink& route, u32 ifindex) {
  Request request;
  link_message(request, ifindex, 0);
  {
    const Request::Nest families(request, IFLA_AF_SPEC);
    const Request::Nest inet6(request, AF_INET6);
    request.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  }
  auto done = route.transact(request);
  if (!done && done.error().code == EAFNOSUPPORT) return {};  // a kernel without IPv6
  return done;
}

Result<void> bring_up(Netlink& route, u32 ifindex) {
  Request request;
  link_message(request, ifindex, IFF_UP | IFF_NOARP);
  request.put_u32(IFLA_MTU, kTapMtu);
  return route.transact(request);
}

Result<void> add_clsact(Netlink& route, u32 ifindex) {
  Request request;
  auto& qdisc = request.begin<tcmsg>(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  qdisc.tcm_family = AF_UNSPEC;
  qdisc.tcm_ifindex = static_cast<int>(ifindex);
  qdisc.tcm_parent = TC_H_CLSACT;
  qdisc.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  request.put_string(TCA_KIND, "clsact");
  return route.transact(request);
}

/// u32 options: every packet with the mark goes to the ingress of `target`.
void put_redirect(Request& request, u32 target, u32 mark) {
  const Request::Nest options(request, TCA_OPTIONS);
  // A tc_u32_sel and its one key: mask 0, value 0, every packet.
  std::array<std::byte, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> selector{};
  selector[offsetof(tc_u32_sel, flags)] = std::byte{TC_U32_TERMINAL};
  selector[offsetof(tc_u32_sel, nkeys)] = std::byte{1};
  request.put_struct(TCA_U32_SEL, selector);
  tc_u32_mark wanted{};
  wanted.val = mark;
  wanted.mask = mark == InjectTap::any_mark ? 0 : ~3U;
  request.put_struct(TCA_U32_MARK, wanted);
  const Request::Nest actions(request, TCA_U32_ACT);
  const Request::Nest first(request, 1);
  request.put_string(TCA_ACT_KIND, "mirred");
  const Request::Nest action_options(request, TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_INGRESS_REDIR;
  mirred.ifindex = target;
  request.put_struct(TCA_MIRRED_PARMS, mirred);
}

Result<void> add_redirect(Netlink& route, u32 ifindex, u32 target, u32 mark) {
  Request request;
  auto& filter = request.begin<tcmsg>(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  filter.tcm_family = AF_UNSPEC;
  filter.tcm_ifindex = static_cast<int>(ifindex);
  filter.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);
  filter.tcm_info = TC_H_MAKE(1U << 16, static_cast<u32>(__builtin_bswap16(ETH_P_ALL)));
  request.put_string(TCA_KIND, "u32");
  put_redirect(request, target, mark);
  return route.transact(request);
}

/// An error of a step that needs a kernel module names the module.
Result<void> needing(Result<void> done, std::string_view modules) {
  if (done || (done.error().code != ENOENT && done.error().code != EOPNOTSUPP)) return done;
  return fail(EOPNOTSUPP, fmt::format("the kernel lacks {}: {}", modules, done.error().what));
}

}  // namespace

Result<UniqueFd> open_tun(std::string& name, int flags) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
    return fail(EOPNOTSUPP, "/dev/net/tun is missing (module tun)");
  if (!fd) return fail_errno("/dev/net/tun");
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name)
    return fail(EINVAL, fmt::format("interface name \"{}\" is longer than {} characters", name,
                                    sizeof request.ifr_name - 1));
  std::memcpy(request.ifr_name, name.c_str(), name.size());
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EPERM) return fail(EPERM, "making a TAP needs CAP_NET_ADMIN in the network namespace");
    if (errno == EBUSY) return fail(EEXIST, fmt::format("interface {} exists", name));
    return fail_errno(fmt::format("making the TAP {}", name));
  }
  name = request.ifr_name;
  return fd;
}

Result<void> bring_up_silently(u32 ifindex) {
  Netlink route = TRY(Netlink::open(NETLINK_ROUTE));
  TRY(silence_ipv6(route, ifindex));
  return bring_up(route, ifindex);
}

Result<InjectTap> InjectTap::open(u32 target_ifindex, u32 mark) {
  std::string name = "skep-in%d";
  UniqueFd fd = TRY(open_tun(name, IFF_TAP | IFF_NO_PI));
  // A TAP of Ethernet type would have its network header moved behind an inline VLAN tag when a packet is
  // sent (packet_parse_headers()), and mirred would then cut the tag in two. IEEE802 has no such parsing.
  if (::ioctl(fd.get(), TUNSETLINK, ARPHRD_IEEE802) != 0) return fail_errno("TUNSETLINK");
  const u32 ifindex = ::if_nametoindex(name.c_str());
  if (ifindex == 0) return fail_errno(name);

  TRY(with_context(bring_up_silently(ifindex), name));
  Netlink route = TRY(Netlink::open(NETLINK_ROUTE));
  TRY(with_context(needing(add_clsact(route, ifindex), "the clsact qdisc (module sch_ingress)"), name));
  TRY(with_context(needing(add_redirect(route, ifindex, target_ifindex, mark),
                           "the u32 filter or the mirred action (modules cls_u32, act_mirred)"),
                   name));
  return InjectTap(std::move(fd), ifindex);
}

Offload InjectTap::fitting(const Packet& packet) {
  Offload offload = current_offload(packet);
  if (offload.gso_type != Offload::gso_none || packet.size() <= kTapMtu + ETH_HLEN) return offload;
  const u16 type = __builtin_bswap16(load<u16>(packet.data + 12));
  const bool ipv4 = type == ETH_P_IP, ipv6 = type == ETH_P_IPV6;
  const auto protocol = static_cast<u8>(packet.data[ETH_HLEN + (ipv4 ? 9 : 6)]);
  if (ipv4 && protocol == IPPROTO_TCP) offload.gso_type = Offload::gso_tcpv4;
  if (ipv6 && protocol == IPPROTO_TCP) offload.gso_type = Offload::gso_tcpv6;
  if ((ipv4 || ipv6) && protocol == IPPROTO_UDP) offload.gso_type = Offload::gso_udp;
  // The largest that is not GSO_BY_FRAGS: the payload is smaller, so the kernel makes no segments.
  if (offload.gso_type != Offload::gso_none) offload.gso_size = 0xfffe;
  return offload;
}

}  // namespace skep::net
