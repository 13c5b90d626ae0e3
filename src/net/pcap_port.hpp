// A port over capture files (pcap and pcapng, through libpcap): every packet of one file comes in, and what
// passes or is sent back out goes into another, with its time.
#pragma once
#include <optional>

#include "base/fd.hpp"
#include "net/port.hpp"

typedef struct pcap pcap_t;                // NOLINT: libpcap's own names, without its headers
typedef struct pcap_dumper pcap_dumper_t;  // NOLINT

namespace skep::net {

/// Has no poll_fd: call rx_burst() until it gives nothing, then finish().
class PcapPort final : public Port {
 public:
  /// Errors name the file and say what is wrong with it: EINVAL for what is no capture, or one of something
  /// other than Ethernet. `out_path` empty: no output. `ifindex` is what programs see as ingress_ifindex.
  static Result<std::unique_ptr<PcapPort>> open(const std::string& in_path, const std::string& out_path,
                                                u32 ifindex);
  ~PcapPort() override;

  /// After the last packet: whether the input was read to its end and the output is on disk.
  Result<void> finish();

  [[nodiscard]] u32 ifindex() const override { return ifindex_; }
  [[nodiscard]] int poll_fd() const override { return -1; }
  u32 rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept override;
  /// PASS and TX are written; REDIRECT leaves by an interface that a capture does not have, and is not.
  void complete(std::span<Packet> burst) noexcept override;
  [[nodiscard]] PortState check() noexcept override { return state_; }
  void stop_rx() noexcept override { state_ = PortState::ended; }
  [[nodiscard]] PortStats stats() const override;

 private:
  PcapPort(u32 ifindex, Mapping buffers);
  struct Files;
  u32 ifindex_;
  Mapping buffers_;
  std::unique_ptr<Files> files_;
  PortState state_ = PortState::open;
  std::optional<Error> error_;
  Counter lost_;
};

}  // namespace skep::net
