// What the test runs of all program types share. Inside the room.
#pragma once
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/limits.hpp"
#include "base/rcu.hpp"
#include "runtime/test_run.hpp"

namespace skep::runtime {

/// One test run: what to run and with what. `context` is copied for the run.
struct TestRun {
  const Program& program;
  const TestRunSpec& spec;
  RunContext context;
  bool counted = false;
  [[nodiscard]] Entry entry() const { return program.entry(counted); }
  [[nodiscard]] BurstEntry burst_entry() const { return program.burst_entry(counted); }
};

[[nodiscard]] Result<TestRunResult> run_xdp(TestRun run);
[[nodiscard]] Result<TestRunResult> run_skb(TestRun run);
[[nodiscard]] Result<TestRunResult> run_flow_dissector(TestRun run);
[[nodiscard]] Result<TestRunResult> run_sk_lookup(TestRun run);
[[nodiscard]] Result<TestRunResult> run_netfilter(TestRun run);
[[nodiscard]] Result<TestRunResult> run_raw_tp(TestRun run);
[[nodiscard]] Result<TestRunResult> run_syscall(TestRun run);

inline constexpr u32 test_page = 4096;
inline constexpr u32 eth_header = 14;
inline constexpr u32 loopback_ifindex = 1;

/// bpf_ctx_init(): the caller's structure, which may be older (shorter) or newer (longer, with zeroes) than
/// ours. Nothing if the caller has none.
template <class Context>
Result<std::optional<Context>> read_context(const TestRunSpec& spec) {
  if (spec.ctx_in.empty() && spec.ctx_out_size == 0) return std::nullopt;
  Context context{};
  const ByteView in = spec.ctx_in;
  const std::size_t known = std::min(in.size(), sizeof context);
  if (std::ranges::any_of(in.subspan(known), [](std::byte b) { return b != std::byte{0}; }))
    return fail(E2BIG, fmt::format("ctx_in is longer than the {} bytes of its structure", sizeof context));
  if (known != 0) std::memcpy(static_cast<void*>(&context), in.data(), known);
  return context;
}

/// bpf_test_finish(): the bytes that the run left; ENOSPC if they are more than there is room for.
inline Result<void> finish_data(const TestRunSpec& spec, ByteView bytes, TestRunResult& result) {
  result.data_size_out = static_cast<u32>(bytes.size());
  if (spec.data_out_size == 0) return {};
  if (bytes.size() > spec.data_out_size)
    return fail(ENOSPC,
                fmt::format("data_out takes {} bytes, there are {}", spec.data_out_size, bytes.size()));
  result.data_out.assign(bytes.begin(), bytes.end());
  return {};
}
/// bpf_ctx_finish()
template <class Context>
Result<void> finish_context(const TestRunSpec& spec, const Context& context, TestRunResult& result) {
  if (spec.ctx_out_size == 0) return {};
  if (spec.ctx_out_size < sizeof context)
    return fail(ENOSPC,
                fmt::format("ctx_out takes {} bytes, there are {}", spec.ctx_out_size, sizeof context));
  const ByteView bytes = bytes_of(context);
  result.ctx_out.assign(bytes.begin(), bytes.end());
  result.ctx_size_out = sizeof context;
  return {};
}

inline u64 now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
}

/// Calls once() `repeat` times (bpf_test_run()), with a pause now and then in which others may reclaim memory
/// and the run may be interrupted. The mean duration of a run in ns.
template <class Once>
Result<u32> repeated(const TestRunSpec& spec, u32 repeat, Once once) {
  constexpr u32 runs_between_pauses = 64;
  const rcu::Reader reader;
  const u64 begin = now_ns();
  for (u32 i = 0; i < repeat; ++i) {
    once();
    if (i % runs_between_pauses != runs_between_pauses - 1) continue;
    rcu::quiescent();
    if (spec.interrupted && spec.interrupted())
      return fail(EINTR, fmt::format("interrupted after {} of {} runs", i + 1, repeat));
  }
  return static_cast<u32>(std::min<u64>((now_ns() - begin) / repeat, UINT32_MAX));
}

/// The same for a run that needs nothing between one time and the next: a burst on one context, again and
/// again. Sets retval and duration.
inline Result<void> repeat_in_bursts(const BurstEntry& entry, void* ctx, RunContext& run,
                                     const TestRunSpec& spec, TestRunResult& result) {
  const u32 repeat = std::max(spec.repeat, 1u);
  std::array<u32, limits::packet_burst> results{};
  const rcu::Reader reader;
  const u64 begin = now_ns();
  for (u32 done = 0; done < repeat;) {
    const u32 count = std::min(repeat - done, limits::packet_burst);
    entry({.contexts = ctx, .results = results.data(), .count = count}, &run);
    result.retval = results[count - 1];
    done += count;
    if (done == repeat) break;
    rcu::quiescent();
    if (spec.interrupted && spec.interrupted())
      return fail(EINTR, fmt::format("interrupted after {} of {} runs", done, repeat));
  }
  result.duration = static_cast<u32>(std::min<u64>((now_ns() - begin) / repeat, UINT32_MAX));
  return {};
}

}  // namespace skep::runtime
