// The Internet checksum's sums as the kernel carries them (lib/checksum.c): ones' complement, 32 bits wide.
#pragma once
#include "base/bytes.hpp"

namespace skep::helpers {

[[nodiscard]] constexpr u32 csum_add(u32 a, u32 b) {
  const u32 sum = a + b;
  return sum + (sum < b ? 1 : 0);
}
/// Of 16-bit words in memory order, added to `seed`; an odd last byte counts as the low one.
[[nodiscard]] inline u32 csum_partial(ByteView bytes, u32 seed) {
  u64 sum = seed;
  std::size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) sum += load<u32>(bytes.data() + at);
  if (at + 2 <= bytes.size()) {
    sum += load<u16>(bytes.data() + at);
    at += 2;
  }
  if (at < bytes.size()) sum += static_cast<u64>(bytes[at]);
  return csum_add(static_cast<u32>(sum), static_cast<u32>(sum >> 32));
}
[[nodiscard]] constexpr u32 csum_fold_to_16(u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

}  // namespace skep::helpers
