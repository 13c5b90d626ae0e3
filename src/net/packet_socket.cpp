#include "net/packet_socket.hpp"

#include <arpa/inet.h>

#include <cerrno>

namespace skep::net {

Result<UniqueFd> open_packet_socket() {
  UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket && errno == EAFNOSUPPORT)
    return fail(EOPNOTSUPP, "the kernel lacks packet sockets (module af_packet)");
  if (!socket && errno == EPERM)
    return fail(EPERM, "a packet socket needs CAP_NET_RAW in the network namespace");
  if (!socket) return fail_errno("packet socket");
  TRY(set_option(socket, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR"));
  return socket;
}

Result<void> set_option(const UniqueFd& socket, int level, int option, int value, std::string_view what) {
  if (::setsockopt(socket.get(), level, option, &value, sizeof value) != 0) return fail_errno(what);
  return {};
}

Result<void> set_receive_buffer(const UniqueFd& socket, int bytes) {
  if (set_option(socket, SOL_SOCKET, SO_RCVBUFFORCE, bytes, "SO_RCVBUFFORCE")) return {};
  return set_option(socket, SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF");
}

Result<void> set_send_buffer(const UniqueFd& socket, int bytes) {
  if (set_option(socket, SOL_SOCKET, SO_SNDBUFFORCE, bytes, "SO_SNDBUFFORCE")) return {};
  return set_option(socket, SOL_SOCKET, SO_SNDBUF, bytes, "SO_SNDBUF");
}

Result<void> bind_packet_socket(const UniqueFd& socket, u32 ifindex, u16 protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(ifindex);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("binding a packet socket");
  return {};
}

}  // namespace skep::net
