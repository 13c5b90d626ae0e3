// bpf_loop() (kernel/bpf/bpf_iter.c).
#include <cerrno>

#include "helpers/families.hpp"

namespace skep::helpers {
namespace {

constexpr u32 max_loops = 8 << 20;  // BPF_MAX_LOOPS

/// The callback gets the iteration's number and R3; it ends the loop by a result other than 0. The number of
/// iterations.
u64 loop(u64 count64, u64 callback64, u64 argument, u64 flags, u64, RunContext* run) {
  const auto& callback = *pointer<const Callback>(callback64);
  const u32 count = static_cast<u32>(count64);
  if (flags != 0) return error_result(EINVAL);
  if (count > max_loops) return error_result(E2BIG);
  for (u32 i = 0; i < count; ++i)
    if (callback(i, argument, 0, 0, 0, run) != 0) return i + 1;
  return count;
}

constexpr HelperRow rows[] = {{181, loop}};

}  // namespace

std::span<const HelperRow> loop_family() { return rows; }

}  // namespace skep::helpers
