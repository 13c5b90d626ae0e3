// An XDP program at an interface: a port, a hook and the worker thread that moves packets between them.
// The runtime owns one for each interface with a program; destroying it gives the interface back.
#pragma once
#include <memory>

#include "base/result.hpp"
#include "helpers/run_context.hpp"
#include "hooks/xdp.hpp"
#include "net/port.hpp"

namespace skep::hooks {

struct XdpConfig {
  RunContext run{};  ///< of the worker: cpu, percpu_offset, prandom_state, trace
  XdpProgram program{};
};

class XdpAttachment {
 public:
  /// Takes over the interface `ifindex` of the calling thread's network namespace and starts the worker.
  /// ENODEV: no such interface; EBUSY: another skep has it; EPERM: needs CAP_NET_RAW and CAP_NET_ADMIN;
  /// EOPNOTSUPP: the kernel lacks something, which the sentence names.
  static Result<std::unique_ptr<XdpAttachment>> open(u32 ifindex, const XdpConfig& config);
  /// The same over a port that is already there (a TAP of our own, memory). The port needs a poll_fd.
  static Result<std::unique_ptr<XdpAttachment>> open(std::unique_ptr<net::Port> port,
                                                     const XdpConfig& config);

  XdpAttachment(const XdpAttachment&) = delete;
  XdpAttachment& operator=(const XdpAttachment&) = delete;
  /// Detaches: the interface works without the program; what was received before still goes through it.
  /// When it returns, the program does not run here any more.
  ~XdpAttachment();

  /// Replaces the program without losing a packet. When it returns, the old one does not run here any more.
  void set_program(const XdpProgram& program);

  [[nodiscard]] u32 ifindex() const;
  [[nodiscard]] XdpStats stats() const;
  /// The interface was deleted underneath, or left the network namespace: only destroying makes sense now.
  [[nodiscard]] bool gone() const;

 private:
  struct Impl;
  explicit XdpAttachment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::hooks
