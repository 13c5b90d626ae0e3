// Copies of values that programs may change at the same time: word by word, each word whole, as the kernel's
// bpf_long_memcpy() does. A reader may see some words old and some new, but never half a word.
#pragma once
#include <atomic>

#include "base/bytes.hpp"

namespace skep::maps {

[[nodiscard]] constexpr u64 round_up8(u64 value) { return (value + 7) & ~u64{7}; }

/// Into a shared value. `to` is 8-aligned.
[[gnu::always_inline]] inline void store_value(std::byte* to, const std::byte* from, u64 size) {
  for (; size >= 8; size -= 8, to += 8, from += 8)
    std::atomic_ref<u64>(*reinterpret_cast<u64*>(to)).store(load<u64>(from), std::memory_order_relaxed);
  for (; size != 0; --size, ++to, ++from)
    std::atomic_ref<std::byte>(*to).store(*from, std::memory_order_relaxed);
}

/// Makes a shared value zero. `to` is 8-aligned.
inline void zero_value(std::byte* to, u64 size) {
  for (; size >= 8; size -= 8, to += 8)
    std::atomic_ref<u64>(*reinterpret_cast<u64*>(to)).store(0, std::memory_order_relaxed);
  for (; size != 0; --size, ++to)
    std::atomic_ref<std::byte>(*to).store(std::byte{0}, std::memory_order_relaxed);
}

/// Out of a shared value. `from` is 8-aligned.
inline void load_value(std::byte* to, const std::byte* from, u64 size) {
  auto* shared = const_cast<std::byte*>(from);  // atomic_ref<const T> is C++26
  for (; size >= 8; size -= 8, to += 8, shared += 8)
    store(to, std::atomic_ref<u64>(*reinterpret_cast<u64*>(shared)).load(std::memory_order_relaxed));
  for (; size != 0; --size, ++to, ++shared)
    *to = std::atomic_ref<std::byte>(*shared).load(std::memory_order_relaxed);
}

}  // namespace skep::maps
