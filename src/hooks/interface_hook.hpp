// Programs at an interface: a port, the hooks and the worker thread that moves packets between them. The
// runtime owns one for what an interface receives (XDP, then tcx ingress) and one for what the host sends out
// of it (tcx egress), as far as there are programs; destroying it gives the interface back.
#pragma once
#include <memory>

#include "base/result.hpp"
#include "helpers/run_context.hpp"
#include "hooks/tc.hpp"
#include "hooks/xdp.hpp"
#include "net/port.hpp"
#include "net/sysctl.hpp"

namespace skep::hooks {

struct InterfaceHookConfig {
  RunContext run{};      ///< of the worker: cpu, percpu_offset, prandom_state, trace
  XdpProgram program{};  ///< without an Entry: none, every packet goes on
  TcChain tc{};
  TcDirection direction = TcDirection::ingress;
  net::SettingsJournal journal{};  ///< of settings of `lo`
};

class InterfaceHook {
 public:
  /// Takes over what the interface receives, or with TcDirection::egress what it sends, of interface
  /// `ifindex` of the calling thread's network namespace and starts the worker. ENODEV: no such interface;
  /// EBUSY: another skep has it; EPERM: needs CAP_NET_RAW and CAP_NET_ADMIN; EOPNOTSUPP: the kernel lacks
  /// something, which the sentence names.
  static Result<std::unique_ptr<InterfaceHook>> open(u32 ifindex, const InterfaceHookConfig& config);
  /// The same over a port that is already there (a TAP of our own, memory). The port needs a poll_fd.
  static Result<std::unique_ptr<InterfaceHook>> open(std::unique_ptr<net::Port> port,
                                                     const InterfaceHookConfig& config);

  InterfaceHook(const InterfaceHook&) = delete;
  InterfaceHook& operator=(const InterfaceHook&) = delete;
  /// Detaches: the interface works without the program; what was received before still goes through it.
  /// When it returns, the program does not run here any more.
  ~InterfaceHook();

  /// Replaces the programs without losing a packet. When it returns, the old ones do not run here any more.
  void set_programs(const XdpProgram& program, TcChain tc);
  /// The XDP program alone, where there is nothing else.
  void set_program(const XdpProgram& program) { set_programs(program, {}); }

  [[nodiscard]] u32 ifindex() const;
  [[nodiscard]] XdpStats stats() const;
  [[nodiscard]] TcStats tc_stats() const;
  /// The interface was deleted underneath, or left the network namespace: only destroying makes sense now.
  [[nodiscard]] bool gone() const;

 private:
  struct Impl;
  explicit InterfaceHook(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::hooks
