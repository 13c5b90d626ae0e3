// bpf_timer and bpf_wq: the helpers and kernel functions; async.cpp runs the callbacks.
#include <time.h>

#include <cerrno>

#include "helpers/async.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

u64 result(int negative_errno) { return static_cast<u64>(s64{negative_errno}); }

/// (timer, map, flags)
u64 timer_init(u64 timer, u64 map, u64 flags, u64, u64, RunContext* run) {
  constexpr u64 max_clocks = 16;
  if (flags >= max_clocks || (flags != CLOCK_MONOTONIC && flags != CLOCK_REALTIME && flags != CLOCK_BOOTTIME))
    return error_result(EINVAL);
  if (run->async == nullptr) return error_result(EOPNOTSUPP);
  return result(run->async->init(AsyncRunner::Kind::timer, pointer<std::byte>(timer),
                                 *pointer<maps::Map>(map), static_cast<s32>(flags)));
}
/// (timer, callback, program)
u64 timer_set_callback(u64 timer, u64 callback, u64 program, u64, u64, RunContext*) {
  return result(async_set_callback(pointer<std::byte>(timer), *pointer<const Callback>(callback),
                                   *pointer<const ProgramKeeper>(program)));
}
/// (timer, nanoseconds, flags)
u64 timer_start(u64 timer, u64 nanoseconds, u64 flags, u64, u64, RunContext*) {
  constexpr u64 absolute = 1, cpu_pin = 2;  // BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN
  if ((flags & ~(absolute | cpu_pin)) != 0) return error_result(EINVAL);
  return result(async_start(pointer<std::byte>(timer), nanoseconds, (flags & absolute) != 0));
}
u64 timer_cancel(u64 timer, u64, u64, u64, u64, RunContext*) {
  return result(async_cancel(pointer<std::byte>(timer)));
}

/// (wq, map, flags)
u64 wq_init(u64 wq, u64 map, u64 flags, u64, u64, RunContext* run) {
  if (static_cast<u32>(flags) != 0) return error_result(EINVAL);
  if (run->async == nullptr) return error_result(EOPNOTSUPP);
  return result(run->async->init(AsyncRunner::Kind::workqueue, pointer<std::byte>(wq),
                                 *pointer<maps::Map>(map), CLOCK_MONOTONIC));
}
/// (wq, flags)
u64 wq_start(u64 wq, u64 flags, u64, u64, u64, RunContext*) {
  if (static_cast<u32>(flags) != 0) return error_result(EINVAL);
  return result(async_start(pointer<std::byte>(wq), 0, false));
}
/// (wq, callback, flags, program)
u64 wq_set_callback(u64 wq, u64 callback, u64 flags, u64 program, u64, RunContext*) {
  if (static_cast<u32>(flags) != 0) return error_result(EINVAL);
  return result(async_set_callback(pointer<std::byte>(wq), *pointer<const Callback>(callback),
                                   *pointer<const ProgramKeeper>(program)));
}

constexpr HelperRow helper_rows[] = {
    {169, timer_init}, {170, timer_set_callback}, {171, timer_start}, {172, timer_cancel}};
constexpr KernelFunctionRow rows[] = {
    {"bpf_wq_init", wq_init}, {"bpf_wq_start", wq_start}, {"bpf_wq_set_callback_impl", wq_set_callback}};

}  // namespace

std::span<const HelperRow> timer_family() { return helper_rows; }
std::span<const KernelFunctionRow> workqueue_kernel_functions() { return rows; }

}  // namespace skep::helpers
