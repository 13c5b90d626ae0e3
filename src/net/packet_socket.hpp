// What every AF_PACKET socket here needs, and the headers that have to be included in a certain order.
#pragma once
#include <net/if.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace skep::net {

/// An AF_PACKET/SOCK_RAW socket of no protocol yet, with PACKET_VNET_HDR. EPERM without CAP_NET_RAW.
Result<UniqueFd> open_packet_socket();

/// setsockopt of an int; the error names `what`.
Result<void> set_option(const UniqueFd& socket, int level, int option, int value, std::string_view what);

/// The socket's receive or send buffer, as large as we may make it: in a user namespace other than the first
/// SO_*BUFFORCE is refused, and net.core.rmem_max or wmem_max is the limit.
Result<void> set_receive_buffer(const UniqueFd& socket, int bytes);
Result<void> set_send_buffer(const UniqueFd& socket, int bytes);

/// bind(2) to an interface; protocol 0 receives nothing.
Result<void> bind_packet_socket(const UniqueFd& socket, u32 ifindex, u16 protocol);

}  // namespace skep::net
