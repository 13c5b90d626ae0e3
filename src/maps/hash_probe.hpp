// What machine code must know of a hash map to find an element of it without a call: addresses and numbers
// that stay while the map lives.
#pragma once
#include "maps/facts.hpp"
#include "maps/key_hash.hpp"

namespace skep::maps {

class Map;

/// Where an element of ours has its key's hash (u32).
inline constexpr u32 hash_elem_hash = 40;

/// The bucket of a key is at buckets + 8 * (hash_key() & mask): the address of its first element, the lowest
/// bit not counted. An element begins with the address of the next; its key stands hash_elem_header bytes in.
struct HashProbe {
  u64 buckets = 0;
  u32 mask = 0;
  u32 key_size = 0;
  HashSeed seed;
  /// Elements may go to another bucket while they are looked at (LRU): who does not find his key in the first
  /// one must call.
  bool first_only = false;
};

/// Of the map at the address, which must be of one of the hash types.
[[nodiscard]] HashProbe hash_probe(const void* map);

}  // namespace skep::maps
