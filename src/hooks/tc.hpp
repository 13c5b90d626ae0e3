// The tc hook: runs a chain of sched_cls programs on each packet of a burst and turns the result into the
// packet's fate (kernel: sch_handle_ingress(), sch_handle_egress(), tcx_run()).
#pragma once
#include <array>
#include <memory>
#include <span>
#include <vector>

#include "helpers/run_context.hpp"
#include "net/port.hpp"
#include "progs/net_device.hpp"

namespace skep::hooks {

/// Programs in the order they run. The first whose result is not TCX_NEXT (-1) decides.
using TcChain = std::vector<Entry>;

enum class TcDirection : u8 { ingress, egress };

/// Packets by fate.
struct TcStats {
  u64 pass = 0;
  u64 drop = 0;
  u64 redirect = 0;
  u64 redirect_errors = 0;  ///< counted under drop too: no target, or one that skep does not reach
};

/// One worker's tc hook at one side of an interface. Not thread-safe, but for stats().
class TcHook {
 public:
  TcHook(u32 ifindex, TcDirection direction, const RunContext& run);
  ~TcHook();
  TcHook(const TcHook&) = delete;
  TcHook& operator=(const TcHook&) = delete;

  /// Runs the chain on each packet that goes on (Disposition::pass) and decides what becomes of it. Packets
  /// may stand in memory of the hook's until release().
  void run_burst(const TcChain& chain, std::span<net::Packet> burst) noexcept;
  /// The burst has been disposed of.
  void release() noexcept;

  [[nodiscard]] TcStats stats() const;

 private:
  struct Buffers;
  void run_one(const TcChain& chain, net::Packet& packet, std::size_t index) noexcept;
  void dispose(u32 result, net::Packet& packet) noexcept;

  RunContext run_;
  TcDirection direction_;
  progs::NetDevice device_{};
  progs::Net net_{};
  std::unique_ptr<Buffers> buffers_;
  net::Counter pass_, drop_, redirect_, bad_redirect_;
};

}  // namespace skep::hooks
