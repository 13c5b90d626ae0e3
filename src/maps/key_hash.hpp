// The hash of a hash map's keys: a folded multiplication for 16 bytes, keyed, so that who chooses keys cannot
// choose buckets. Machine code computes the same (src/jit/inline_map.cpp). Also the comparison of keys.
#pragma once
#include <atomic>
#include <type_traits>

#include "base/bytes.hpp"

namespace skep::maps {

/// Two numbers that nobody outside knows; `b` is odd.
struct HashSeed {
  u64 a = 0x9e3779b97f4a7c15, b = 0xa0761d6478bd642f;
};

namespace detail {
inline u64 fold(u64 a, u64 b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}
/// The last `size` (1 to 7) bytes of a key, zeros above them.
inline u64 tail_word(const std::byte* key, u32 size) {
  u64 word = 0;
  u32 at = 0;
  if ((size & 4) != 0) {
    word = load<u32>(key);
    at = 4;
  }
  if ((size & 2) != 0) {
    word |= u64{load<u16>(key + at)} << 8 * at;
    at += 2;
  }
  if ((size & 1) != 0) word |= static_cast<u64>(key[at]) << 8 * at;
  return word;
}
}  // namespace detail

/// By words of eight bytes, two for a multiplication; a last one alone is multiplied with the seed. With the
/// size a constant the loop vanishes.
[[gnu::always_inline]] inline u32 hash_key(const std::byte* key, u32 size, HashSeed seed) {
  u64 state = seed.a;
  for (; size >= 16; size -= 16, key += 16)
    state = detail::fold(load<u64>(key) ^ state, load<u64>(key + 8) ^ seed.b);
  if (size == 0) return static_cast<u32>(state);
  if (size <= 8) {
    const u64 word = size == 8 ? load<u64>(key) : detail::tail_word(key, size);
    return static_cast<u32>(detail::fold(word ^ state, seed.b));
  }
  return static_cast<u32>(
      detail::fold(load<u64>(key) ^ state, detail::tail_word(key + 8, size - 8) ^ seed.b));
}

/// `shared` is in an element; it may be written meanwhile in LRU maps, so it is read by whole words.
[[gnu::always_inline]] inline bool same_key(std::byte* shared, const std::byte* key, u32 size) {
  const auto word = [&](auto zero, u32 at) {
    using T = decltype(zero);
    return std::atomic_ref<T>(*reinterpret_cast<T*>(shared + at)).load(std::memory_order_relaxed) ==
           load<T>(key + at);
  };
  u32 at = 0;
  for (; at + 8 <= size; at += 8)
    if (!word(u64{}, at)) return false;
  if (at + 4 <= size) {
    if (!word(u32{}, at)) return false;
    at += 4;
  }
  for (; at < size; ++at)
    if (!word(u8{}, at)) return false;
  return true;
}

/// Calls with_size(std::integral_constant): the size, where it is a common one, or 0.
template <class F>
[[gnu::always_inline]] inline auto with_key_size(u32 size, F with_size) {
  switch (size) {
    case 4:
      return with_size(std::integral_constant<u32, 4>{});
    case 8:
      return with_size(std::integral_constant<u32, 8>{});
    case 12:
      return with_size(std::integral_constant<u32, 12>{});
    case 16:
      return with_size(std::integral_constant<u32, 16>{});
    case 24:
      return with_size(std::integral_constant<u32, 24>{});
    case 40:
      return with_size(std::integral_constant<u32, 40>{});
    default:
      return with_size(std::integral_constant<u32, 0>{});
  }
}

}  // namespace skep::maps
