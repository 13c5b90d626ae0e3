// Frames of a TAP with IFF_VNET_HDR: checksum and segmentation work stands before each in a virtio_net_hdr.
#pragma once
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "net/buffers.hpp"

namespace skep::net {

/// Reads frames into the buffers until `burst` is full or none waits; returns how many. What is shorter than
/// an Ethernet header counts as `lost`.
inline u32 read_tap_frames(int fd, const Mapping& buffers, std::span<Packet, limits::packet_burst> burst,
                           Counter& lost) noexcept {
  u32 count = 0;
  while (count < burst.size()) {
    Offload offload;
    std::array<iovec, 2> parts{iovec{&offload, sizeof offload},
                               iovec{burst_buffer(buffers, count), longest_packet}};
    ssize_t got = 0;
    do got = ::readv(fd, parts.data(), parts.size());
    while (got < 0 && errno == EINTR);
    if (got < static_cast<ssize_t>(sizeof offload)) break;
    const auto size = static_cast<u32>(static_cast<std::size_t>(got) - sizeof offload);
    if (size < ethernet_header) {
      lost.add(1);
      continue;
    }
    burst[count] = packet_in_buffer(buffers, count, size, offload);
    count++;
  }
  return count;
}

/// False: the TAP did not take it.
inline bool write_tap_frame(int fd, const Packet& packet) noexcept {
  Offload offload = current_offload(packet);
  std::array<iovec, 2> parts{iovec{&offload, sizeof offload}, iovec{packet.data, packet.size()}};
  ssize_t done = 0;
  do done = ::writev(fd, parts.data(), parts.size());
  while (done < 0 && errno == EINTR);
  return done >= 0;
}

}  // namespace skep::net
