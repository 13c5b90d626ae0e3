// What machine code must know of a hash map to find an element of it without a call: addresses and numbers
// that stay while the map lives.
#pragma once
#include "maps/buckets.hpp"
#include "maps/facts.hpp"
#include "maps/key_hash.hpp"

namespace skep::maps {

class Map;

/// Where an element of an LRU map has its key's hash (u32).
inline constexpr u32 hash_elem_hash = 44;

/// The bucket of a key is the one at buckets + 64 * (hash_key() * count >> 32), see buckets.hpp; element N is
/// at elements + N * stride, its key hash_elem_header bytes in.
struct HashProbe {
  u64 buckets = 0;
  u32 count = 0;
  u64 elements = 0;
  u64 stride = 0;
  u32 key_size = 0;
  HashSeed seed;
  /// Elements may become another key's while they are looked at (LRU): first their hash is changed, and who
  /// does not find his key where its tag is must call.
  bool reused = false;
};

/// Of the map at the address, which must be of one of the hash types.
[[nodiscard]] HashProbe hash_probe(const void* map);

/// Where a Bucket has its parts.
inline constexpr u32 bucket_high = 8, bucket_state = 12, bucket_elements = 16;

}  // namespace skep::maps
