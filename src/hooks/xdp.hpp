// The XDP hook: runs a program on each packet of a burst and turns its verdict into the packet's fate
// (kernel: bpf_prog_run_xdp(), netif_receive_generic_xdp(), xdp_do_redirect()).
#pragma once
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "helpers/burst.hpp"
#include "net/port.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::hooks {

/// A program at the hook: how to run it, and what traces call it.
struct XdpProgram {
  Entry entry{};
  u32 id = 0;
  std::array<char, 16> name{};  ///< NUL-terminated
  BurstEntry burst{};           ///< as entry, for many packets; may be null
  /// Several programs: those that run after this one, each as far as the results before it let it
  /// (libxdp's dispatcher). What the last one lets on is XDP_PASS.
  std::vector<XdpProgram> next{};
  u32 chain_call = 0;  ///< bits 1 << XDP_*: results with which the next one runs

  void set_name(std::string_view text);
};

/// Packets by verdict. rx is their sum; redirect_errors, tx_errors and pass_errors are packets counted under
/// their verdict that could not go that way.
struct XdpStats {
  u64 rx = 0;
  u64 drop = 0;
  u64 pass = 0;
  u64 tx = 0;
  u64 redirect = 0;
  u64 aborted = 0;  ///< XDP_ABORTED
  u64 invalid = 0;  ///< a return value that is no verdict
  u64 redirect_errors = 0;
  u64 tx_errors = 0;
  u64 pass_errors = 0;
  u64 rx_dropped = 0;  ///< lost before the program could see them: see net::PortStats
};

/// One worker's hook at one interface. Not thread-safe, but for stats().
class XdpHook {
 public:
  /// `run` is copied: cpu, percpu_offset and the trace sink are the worker's for its lifetime.
  XdpHook(u32 ifindex, const RunContext& run);
  XdpHook(const XdpHook&) = delete;
  XdpHook& operator=(const XdpHook&) = delete;

  /// Runs `program` on each packet; sets its verdict, bytes and disposition. ABORTED and what is no verdict
  /// are dropped, counted and traced.
  void run_burst(const XdpProgram& program, std::span<net::Packet> burst) noexcept;

  /// The verdict counters; errors are the port's (see collect()).
  [[nodiscard]] XdpStats stats() const;

 private:
  void run_some(const XdpProgram& program, std::span<net::Packet> packets) noexcept;
  void run_chain(const XdpProgram& first, net::Packet& packet, progs::XdpBuff& buffer) noexcept;
  void dispose(const XdpProgram& program, net::Packet& packet) noexcept;
  void trace_exception(const XdpProgram& program, u32 verdict) noexcept;

  RunContext run_;
  progs::NetDevice device_{};
  progs::Net net_{};
  progs::XdpRxqInfo rxq_{};
  std::array<net::Counter, 5> verdicts_;
  net::Counter invalid_;
  net::Counter bad_redirect_;
  bool warned_ = false;  ///< bpf_warn_invalid_xdp_action() has been said
};

/// The hook's counters and the port's, as one.
[[nodiscard]] XdpStats collect(const XdpHook& hook, const net::Port& port);

/// Runs `program` over everything a port without poll_fd gives, on the calling thread, which must be an
/// rcu::Reader. `seen` (may be null) gets each burst after the program ran and before it is disposed of.
void run_to_end(net::Port& port, XdpHook& hook, const XdpProgram& program,
                void (*seen)(void* user, std::span<const net::Packet> burst), void* user) noexcept;

}  // namespace skep::hooks
