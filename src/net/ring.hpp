// Receives every packet of an interface into a ring shared with the kernel (packet(7), TPACKET_V2: the worker
// is woken for each packet, which V3's block timer would delay). Frames keep 256 bytes of headroom
// (PACKET_RESERVE). What is longer than a frame, jumbo frames and superframes, comes by recvmsg(2) into
// buffers of its own (PACKET_COPY_THRESH).
#pragma once
#include <atomic>
#include <limits>
#include <memory>

#include "base/fd.hpp"
#include "net/port.hpp"

namespace skep::net {

class PacketRing {
 public:
  /// Packets that carry `mark` (its two lowest bits aside) are refused by a classic BPF filter: they are
  /// ours.
  static Result<std::unique_ptr<PacketRing>> open(u32 ifindex, u32 mtu, u32 mark);

  [[nodiscard]] int fd() const { return socket_.get(); }

  /// Gives back what waits now: the host's stack has had those packets.
  void discard_waiting() noexcept;
  /// From now on receive() gives only what waits now; the host's stack gets later packets itself.
  void receive_only_waiting() noexcept;

  /// The packets stay ours until release().
  u32 receive(std::span<Packet, limits::packet_burst> burst) noexcept;
  /// Gives the frames of the last receive() back to the kernel.
  void release() noexcept;

  /// The socket's pending error (ENETDOWN when the interface went down), cleared.
  [[nodiscard]] int take_error() noexcept;
  /// Packets lost so far: the ring was full, or a packet was longer than every buffer. From any thread.
  [[nodiscard]] u64 losses() const noexcept;

 private:
  PacketRing() = default;
  [[nodiscard]] u32 following(u32 index) const { return index + 1 == frame_count_ ? 0 : index + 1; }
  [[nodiscard]] bool is_filled(u32 index) const;
  [[nodiscard]] std::byte* frame(u32 index) const { return ring_.data() + std::size_t{index} * frame_size_; }
  /// False: the packet is lost.
  bool from_frame(std::byte* frame, Packet& packet) noexcept;
  bool from_socket(Packet& packet) noexcept;

  UniqueFd socket_;
  Mapping ring_;
  Mapping long_buffers_;
  u32 frame_size_ = 0;
  u32 frame_count_ = 0;
  u32 next_ = 0;                                   ///< the frame to look at next
  u32 taken_ = 0;                                  ///< frames before `next_` not yet given back
  u32 long_used_ = 0;                              ///< long buffers handed out since the last release
  u64 allowed_ = std::numeric_limits<u64>::max();  ///< frames that receive() may still look at
  Counter lost_;
  mutable std::atomic<u64> kernel_drops_{0};  ///< PACKET_STATISTICS clears what it reports
};

}  // namespace skep::net
