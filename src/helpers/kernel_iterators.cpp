// Iterators on a program's stack: new() makes one, next() gives elements, destroy() ends it (kernel:
// kernel/bpf/bpf_iter.c, helpers.c).
#include <bit>
#include <cerrno>
#include <memory>
#include <new>

#include "helpers/any_memory.hpp"
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

/// struct bpf_iter_bits_kern: set bits of up to bits_words_max words. One word is kept in the iterator, more
/// in memory of their own.
struct IterBits {
  u64 word_or_memory = 0;
  s32 count = 0;  ///< of bits
  s32 at = -1;
  [[nodiscard]] bool has_memory() const { return count > 64; }
  [[nodiscard]] const u64* words() const {
    return has_memory() ? pointer<const u64>(word_or_memory) : &word_or_memory;
  }
};
static_assert(sizeof(IterBits) == 16, "struct bpf_iter_bits");

/// (it, words, how many)
u64 iter_bits_new(u64 it, u64 from, u64 words64, u64, u64, RunContext*) {
  constexpr u32 bits_words_max = 511;  // BITS_ITER_NR_WORDS_MAX
  auto& iter = *pointer<IterBits>(it);
  const u32 words = static_cast<u32>(words64);
  iter = {};
  if (from == 0 || words == 0) return error_result(EINVAL);
  if (words > bits_words_max) return error_result(E2BIG);
  if (words == 1) {
    if (!read_memory(&iter.word_or_memory, from, sizeof(u64))) return error_result(EFAULT);
  } else {
    std::unique_ptr<u64[]> memory(new (std::nothrow) u64[words]);
    if (memory == nullptr) return error_result(ENOMEM);
    if (!read_memory(memory.get(), from, words * sizeof(u64))) return error_result(EFAULT);
    iter.word_or_memory = reinterpret_cast<u64>(memory.release());
  }
  iter.count = static_cast<s32>(words * 64);
  return 0;
}

/// (it): the address of the next set bit's number, or NULL.
u64 iter_bits_next(u64 it, u64, u64, u64, u64, RunContext*) {
  auto& iter = *pointer<IterBits>(it);
  if (iter.at >= iter.count) return 0;
  const u64* words = iter.words();
  for (u32 bit = static_cast<u32>(iter.at + 1); bit < static_cast<u32>(iter.count);
       bit = (bit / 64 + 1) * 64) {
    const u64 rest = words[bit / 64] >> (bit % 64);
    if (rest == 0) continue;
    iter.at = static_cast<s32>(bit + static_cast<u32>(std::countr_zero(rest)));
    return reinterpret_cast<u64>(&iter.at);
  }
  iter.at = iter.count;
  return 0;
}

u64 iter_bits_destroy(u64 it, u64, u64, u64, u64, RunContext*) {
  const auto& iter = *pointer<IterBits>(it);
  if (iter.has_memory()) delete[] pointer<u64>(iter.word_or_memory);
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_iter_num_new", iter_num_new},         {"bpf_iter_num_next", iter_num_next},
    {"bpf_iter_num_destroy", iter_num_destroy}, {"bpf_iter_bits_new", iter_bits_new},
    {"bpf_iter_bits_next", iter_bits_next},     {"bpf_iter_bits_destroy", iter_bits_destroy},
};

}  // namespace

std::span<const KernelFunctionRow> iterator_kernel_functions() { return rows; }

}  // namespace skep::helpers
