#include "net/interface.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace skep::net {

Result<Interface> look_up_interface(u32 ifindex) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket");
  Interface found{ifindex, {}, 0, false, {}};
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(ifindex);
  if (::ioctl(socket.get(), SIOCGIFNAME, &request) != 0)
    return fail(ENODEV, fmt::format("no interface with index {}", ifindex));
  found.name = request.ifr_name;
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) return fail_errno(found.name);
  const auto type = request.ifr_hwaddr.sa_family;
  if (type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK)
    return fail(EOPNOTSUPP, fmt::format("{}: not an Ethernet interface (type {})", found.name, type));
  found.loopback = type == ARPHRD_LOOPBACK;
  std::memcpy(found.address.data(), request.ifr_hwaddr.sa_data, 6);
  if (::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return fail_errno(found.name);
  found.mtu = static_cast<u32>(request.ifr_mtu);
  return found;
}

Result<u32> random_mark() {
  u32 mark = 0;
  if (::getrandom(&mark, sizeof mark, 0) != sizeof mark) return fail_errno("getrandom");
  return (mark | 0x80000000U) & ~3U;
}

std::unexpected<Error> taking_over_failed(const Interface& interface, const Error& error) {
  if (error.code == EPERM)
    return fail(EPERM,
                fmt::format("{}: attaching needs CAP_NET_RAW and CAP_NET_ADMIN in the network namespace",
                            interface.name));
  const bool named = error.what.starts_with(interface.name + ":");
  return fail(error.code, named ? error.what : fmt::format("{}: {}", interface.name, error.what));
}

}  // namespace skep::net
