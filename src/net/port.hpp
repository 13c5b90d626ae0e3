// A port: where packets come from and go to, in bursts. A worker thread owns one Port and repeats
//   n = rx_burst(packets); run the program on each and say what becomes of it; complete(packets, n)
// Ports differ only behind this interface: a real interface (packet_port.hpp), a TAP of our own
// (tap_port.hpp), capture files (pcap_port.hpp), memory (memory_port.hpp).
#pragma once
#include <atomic>
#include <memory>
#include <span>

#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "base/result.hpp"
#include "base/types.hpp"
#include "net/offload.hpp"

namespace skep::net {

/// What becomes of a packet after the program ran.
enum class Disposition : u8 {
  drop,      ///< gone: the host stack never sees it
  pass,      ///< on into the host's stack, as received on this same interface
  tx,        ///< out of the interface it came from
  redirect,  ///< XDP's: out of the interface `out_ifindex`, past its queueing discipline
  forward,   ///< tc's: out of `out_ifindex` as the host's own packets go, through its egress hooks
  receive,   ///< tc's BPF_F_INGRESS: into `out_ifindex`, as if received there
};

/// One received packet: a view into memory of the port, writable, valid from rx_burst() to complete().
/// rx_burst() leaves at least limits::xdp_headroom bytes between `hard_start` and `data`. A VLAN tag is in
/// the bytes, as on the wire. The caller may move `data` and `data_end` within the buffer and write all of
/// it.
struct Packet {
  std::byte* data = nullptr;        ///< destination address of the Ethernet header
  std::byte* data_end = nullptr;    ///< one past the last byte
  std::byte* hard_start = nullptr;  ///< first byte of the buffer
  u32 buffer_size = 0;              ///< bytes from hard_start to the end of the buffer
  u32 out_ifindex = 0;              ///< with Disposition::redirect, forward, receive
  u32 verdict = 0;  ///< what the program returned, for whoever reports it; ports do not read it
  Disposition disposition = Disposition::drop;
  PacketType type = PacketType::host;
  u64 timestamp_ns = 0;  ///< CLOCK_REALTIME; 0 where the port has none
  Offload offload{};  ///< checksum and segmentation work still to do; offsets are relative to `received_at`
  std::byte* received_at = nullptr;  ///< `data` as the port gave it; how far headers moved is the difference
  u64 received_dst = 0;              ///< the first 8 received bytes (the destination address and 2 more)

  [[nodiscard]] u32 size() const { return static_cast<u32>(data_end - data); }
  [[nodiscard]] ByteView bytes() const { return {data, data_end}; }
};

/// A counter with one writing thread, readable from others without tearing.
class Counter {
 public:
  void add(u64 n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  [[nodiscard]] u64 get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<u64> value_{0};
};

/// What a port lost or could not do. Packets that went their way are counted by whoever decided it.
struct PortStats {
  u64 rx_dropped = 0;       ///< received faster than read (the ring was full), or too long for every buffer
  u64 pass_errors = 0;      ///< could not be handed to the host's stack
  u64 tx_errors = 0;        ///< could not be sent back out
  u64 redirect_errors = 0;  ///< no such interface, it is down, or the packet is longer than its MTU
};

enum class PortState : u8 {
  open,   ///< receiving, or waiting for more
  ended,  ///< a capture's end, or stop_rx() and everything received has been handed out
  gone,   ///< the interface was deleted or moved to another network namespace
};

/// One thread uses rx_burst, complete, stop_rx and check; stats() may be called from any.
class Port {
 public:
  Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  /// Gives the interface back as it was found.
  virtual ~Port();

  /// The interface the packets arrive on (xdp_md.ingress_ifindex); a number of the port's own choice where
  /// there is none.
  [[nodiscard]] virtual u32 ifindex() const = 0;

  /// Becomes readable (poll(2)) when packets wait; POLLERR means: call check(). -1: never wait, call
  /// rx_burst() until check() says `ended`.
  [[nodiscard]] virtual int poll_fd() const = 0;

  /// Becomes readable when something other than packets happened: call check(). -1: never.
  [[nodiscard]] virtual int event_fd() const { return -1; }

  /// Fills the front of `burst` with the packets that wait, at most limits::packet_burst; returns how many.
  /// Never blocks. Each burst that is not empty is followed by one complete() with the same packets.
  virtual u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept = 0;

  /// Carries out the packets' dispositions, in order for each destination, and takes the buffers back.
  virtual void complete(std::span<Packet> burst) noexcept = 0;

  /// How the port stands: after POLLERR, POLLHUP or an event, when rx_burst() gave nothing, and now and then
  /// under load. Follows what happened to the interface.
  [[nodiscard]] virtual PortState check() noexcept = 0;

  /// Receives nothing new from now on; what was received before is still handed out and can be completed.
  /// Packets that arrive later are the host's, as if the port were not there.
  virtual void stop_rx() noexcept = 0;

  [[nodiscard]] virtual PortStats stats() const = 0;
};

}  // namespace skep::net
