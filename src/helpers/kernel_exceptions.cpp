// bpf_throw(): leaves every frame of the program at once.
#include "base/result.hpp"
#include "helpers/exceptions.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep {

u64 run_catching(const Entry& inner, const Callback& on_exception, void* ctx, RunContext* run) {
  Landing landing;  // NOLINT: setjmp() fills `where`
  landing.outer = run->landing;
  run->landing = &landing;
  const bool thrown = _setjmp(landing.where) != 0;
  if (!thrown) {
    const u64 result = inner(ctx, run);
    run->landing = landing.outer;
    return result;
  }
  run->landing = landing.outer;
  return on_exception(landing.cookie, 0, 0, 0, 0, run);
}

namespace helpers {
namespace {

/// (cookie)
u64 throw_exception(u64 cookie, u64, u64, u64, u64, RunContext* run) {
  SKEP_ASSERT(run->landing != nullptr);
  run->landing->cookie = cookie;
  longjmp(run->landing->where, 1);
}

constexpr KernelFunctionRow rows[] = {{"bpf_throw", throw_exception}};

}  // namespace

std::span<const KernelFunctionRow> exception_kernel_functions() { return rows; }

}  // namespace helpers
}  // namespace skep
