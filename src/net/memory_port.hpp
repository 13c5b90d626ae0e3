// A port in memory: packets are pushed in by the program that embeds us, and what became of each is taken
// out. For tests and embedding; unlike the other ports it locks.
#pragma once
#include <deque>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "net/port.hpp"

namespace skep::net {

class MemoryPort final : public Port {
 public:
  struct Outcome {
    Disposition disposition = Disposition::drop;
    u32 out_ifindex = 0;
    u32 verdict = 0;
    Offload offload{};
    std::vector<std::byte> bytes;
  };

  /// `ifindex` is what programs see as ingress_ifindex.
  static Result<std::unique_ptr<MemoryPort>> open(u32 ifindex);

  /// From any thread. EMSGSIZE above 64 KiB, EINVAL below an Ethernet header.
  Result<void> push(ByteView packet, const Offload& offload = {});
  /// No more will be pushed.
  void end();
  /// What became of the packets so far, in order; taken out. Packets dropped are among them.
  std::vector<Outcome> take();

  [[nodiscard]] u32 ifindex() const override { return ifindex_; }
  [[nodiscard]] int poll_fd() const override { return wake_.get(); }
  u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept override;
  void complete(std::span<Packet> burst) noexcept override;
  [[nodiscard]] PortState check() noexcept override;
  void stop_rx() noexcept override;
  [[nodiscard]] PortStats stats() const override { return {}; }

 private:
  MemoryPort(u32 ifindex, UniqueFd wake, Mapping buffers);
  struct Waiting {
    std::vector<std::byte> bytes;
    Offload offload;
  };
  u32 ifindex_;
  UniqueFd wake_;    ///< eventfd: readable while packets wait
  Mapping buffers_;  ///< one for each packet of a burst
  std::mutex mutex_;
  std::deque<Waiting> waiting_;
  std::vector<Outcome> done_;
  bool ended_ = false;
};

}  // namespace skep::net
