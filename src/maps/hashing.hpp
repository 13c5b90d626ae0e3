// The hash of keys and values. Not the kernel's (nobody sees which): one multiplication for eight bytes.
#pragma once
#include "base/bytes.hpp"

namespace skep::maps {

namespace detail {
inline u64 mix(u64 a, u64 b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}
}  // namespace detail

/// With the size a constant the loops and branches vanish.
inline u64 hash_bytes(const std::byte* key, u32 size, u64 seed) {
  u64 state = seed ^ 0x9e3779b97f4a7c15;
  u32 left = size;
  for (; left >= 8; left -= 8, key += 8) state = detail::mix(state ^ load<u64>(key), 0xa0761d6478bd642f);
  if (left == 0 && size != 0) return state ^ state >> 32;
  u64 tail = left;
  if (left >= 4) {
    tail = tail << 32 | load<u32>(key);
    key += 4;
    left -= 4;
  }
  for (; left != 0; --left, ++key) tail = tail << 8 | static_cast<u64>(*key);
  state = detail::mix(state ^ tail, 0xe7037ed1a0b428db);
  return state ^ state >> 32;
}

}  // namespace skep::maps
