// Iterators on a program's stack: new() makes one, next() gives elements, destroy() ends it (kernel:
// kernel/bpf/bpf_iter.c).
#include <cerrno>

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

/// struct bpf_iter_num_kern: numbers from `cur` + 1 up to, not including, `end`.
struct IterNum {
  s32 cur = 0;
  s32 end = 0;
};
static_assert(sizeof(IterNum) == 8, "struct bpf_iter_num");

constexpr s64 max_loops = 8 << 20;  // BPF_MAX_LOOPS

/// (it, start, end)
u64 iter_num_new(u64 it, u64 start, u64 end, u64, u64, RunContext*) {
  auto* iter = pointer<IterNum>(it);
  const s64 from = static_cast<s32>(start), to = static_cast<s32>(end);
  *iter = {};
  if (from > to) return error_result(EINVAL);
  if (to - from > max_loops) return error_result(E2BIG);
  // Wraps where the range begins at the least number; next() wraps back.
  iter->cur = static_cast<s32>(static_cast<u32>(from) - 1);
  iter->end = static_cast<s32>(to);
  return 0;
}

/// (it): the address of the next number, or NULL.
u64 iter_num_next(u64 it, u64, u64, u64, u64, RunContext*) {
  auto* iter = pointer<IterNum>(it);
  const auto next = static_cast<s32>(static_cast<u32>(iter->cur) + 1);
  if (next >= iter->end) {
    *iter = {};
    return 0;
  }
  iter->cur = next;
  return reinterpret_cast<u64>(&iter->cur);
}

u64 iter_num_destroy(u64 it, u64, u64, u64, u64, RunContext*) {
  *pointer<IterNum>(it) = {};
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_iter_num_new", iter_num_new},
    {"bpf_iter_num_next", iter_num_next},
    {"bpf_iter_num_destroy", iter_num_destroy},
};

}  // namespace

std::span<const KernelFunctionRow> iterator_kernel_functions() { return rows; }

}  // namespace skep::helpers
