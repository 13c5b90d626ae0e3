// What a running program can reach besides its context: one RunContext a worker thread, passed to every
// helper as its sixth argument. Interpreter, JIT and helpers agree on this file and nothing else.
#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "base/types.hpp"

namespace skep::maps {
class PercpuArea;
}

namespace skep {

struct RunContext;
struct Landing;
class AsyncRunner;

/// A helper as called from a program: R1..R5 and the run context; the result goes to R0.
using HelperFn = u64 (*)(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, RunContext* run);

/// A program ready to run: `run(self, ctx, rc)` interprets or is machine code. Plain values so that a hook
/// can call it without knowing what made it; whoever owns `self` outlives every caller (RCU, references).
struct Entry {
  u64 (*run)(const void* self, void* ctx, RunContext* rc) = nullptr;
  const void* self = nullptr;
  u64 operator()(void* ctx, RunContext* rc) const { return run(self, ctx, rc); }
};

/// A subprogram as a value: what ld_imm64 of a function yields, and how helpers such as bpf_loop or
/// bpf_for_each_map_elem call it back. The same for every engine; lives as long as its program's code.
///   const auto* callback = reinterpret_cast<const Callback*>(r2);
///   u64 result = (*callback)(index, r3, 0, 0, 0, run);
struct Callback {
  u64 (*call)(const Callback* self, u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, RunContext* run) = nullptr;
  u64 operator()(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, RunContext* run) const {
    return call(this, r1, r2, r3, r4, r5, run);
  }
};

/// Where bpf_trace_printk's text goes. Called from worker threads.
class TraceSink {
 public:
  virtual void trace_printk(std::string_view text, const RunContext& run) noexcept = 0;
  /// A tracepoint that fired, "xdp_exception" with its text. A sink that can print the event's name where
  /// trace_printk's lines have "bpf_trace_printk" does that; by default the name is part of the text.
  virtual void trace_event(std::string_view event, std::string_view text, const RunContext& run) noexcept {
    std::array<char, 256> line;  // NOLINT: filled below
    std::size_t used = 0;
    for (const auto part : {event, std::string_view(": "), text})
      used += part.copy(line.data() + used, line.size() - used);
    trace_printk({line.data(), used}, run);
  }

 protected:
  ~TraceSink() = default;
};

/// What bpf_redirect() and bpf_redirect_map() leave for the hook (kernel: struct bpf_redirect_info).
struct RedirectInfo {
  u32 ifindex = 0;
  u32 flags = 0;
  void* map = nullptr;  ///< maps::Map*, for redirect_map
  u32 map_index = 0;
};

/// Where packets go that a program sends while it runs (bpf_clone_redirect()). Called from worker threads.
class PacketSink {
 public:
  /// Out of the interface, or, with `ingress`, into its host's stack as if received. False: it could not.
  virtual bool transmit(u32 ifindex, bool ingress, std::span<const std::byte> frame) noexcept = 0;

 protected:
  ~PacketSink() = default;
};

/// The resilient locks that the current run holds (kernel: struct rqspinlock_held).
struct HeldLocks {
  u32 count = 0;
  std::array<u64, 31> locks{};  ///< addresses
};

struct RunContext {
  /// Address of this CPU's copy of a per-CPU object = address in CPU 0's copy + percpu_offset
  /// (maps/percpu.hpp). First member: machine code reads it at offset 0.
  u64 percpu_offset = 0;
  u32 cpu = 0;         ///< bpf_get_smp_processor_id(): the worker's index, below possible_cpus
  u32 tail_calls = 0;  ///< of the current top-level run
  u64 prandom_state = 0x9e3779b97f4a7c15;
  TraceSink* trace = nullptr;
  RedirectInfo redirect{};
  void* ctx = nullptr;                   ///< the context of the current run (xdp_buff, ...)
  PacketSink* packets = nullptr;         ///< nullptr: what is sent reaches nobody, as in test runs
  std::array<std::byte, 20> next_hop{};  ///< of bpf_redirect_neigh(): struct bpf_redir_neigh
  Landing* landing = nullptr;            ///< where bpf_throw() goes (exceptions.hpp)
  HeldLocks held_locks{};
  AsyncRunner* async = nullptr;        ///< runs timers (async.hpp)
  maps::PercpuArea* percpu = nullptr;  ///< where bpf_percpu_obj_new() allocates
  /// Of the control group that the program runs for: shared, and this CPU's (bpf_get_local_storage()).
  std::array<std::byte*, 2> cgroup_storage{};
};

}  // namespace skep
