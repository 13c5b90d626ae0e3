// `skep run`: an object's XDP program over the packets of a capture file, in one process without a daemon.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "embed/session.hpp"
#include "hooks/xdp.hpp"

namespace skep::embed {

struct CaptureRequest {
  std::string object;   ///< path of the ELF object
  std::string program;  ///< by name; empty: the first XDP program
  std::string in;       ///< pcap or pcapng
  std::string out;      ///< what passes or is sent back out; empty: nowhere
  u32 ifindex = 1;      ///< what the program sees as ingress_ifindex
  bool jit = true;
  bool harden = false;    ///< runtime::Config has what it means
  bool perf_map = false;  ///< likewise
};

/// One packet and what became of it.
struct PacketReport {
  u64 number = 0;  ///< from 1
  u32 length_in = 0;
  u32 length_out = 0;  ///< as the program left it
  u32 verdict = 0;
  u32 redirect_ifindex = 0;        ///< with XDP_REDIRECT; 0: no target
  std::vector<std::string> trace;  ///< bpf_trace_printk's lines
};

class Capture {
 public:
  /// Loads the object and opens the files. Errors name the file and what is wrong with it; a refused
  /// program's log is in messages().
  static Result<std::unique_ptr<Capture>> open(const CaptureRequest& request, Messages& messages);
  ~Capture();

  /// Runs every packet, in order. EINVAL where the capture is damaged: packets before it were reported.
  Result<void> run(const std::function<void(const PacketReport&)>& report);

  [[nodiscard]] Kernel& kernel();
  [[nodiscard]] const Object& object() const;
  [[nodiscard]] const std::string& program_name() const;

 private:
  struct Impl;
  explicit Capture(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// "XDP_PASS", ...; the number for what is no verdict.
[[nodiscard]] std::string verdict_name(u32 verdict);

}  // namespace skep::embed
