// What the verifier and the fixups may know of a map: values, no behaviour.
#pragma once
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "btf/record.hpp"
#include "kernel/uapi.hpp"

namespace skep::maps {

struct MapFacts {
  u32 id = 0;
  MapType type = MapType::unspec;
  u32 key_size = 0;
  u32 value_size = 0;
  u32 max_entries = 0;
  u32 flags = 0;
  u64 map_extra = 0;
  std::string name;
  bool frozen = false;
  bool has_btf = false;
  /// Address of the Map object and, for arrays, of its first value: what ld_imm64 loads at run time.
  u64 map_address = 0;
  u64 values_address = 0;
  /// The contents of a frozen array that programs may only read: loads of it are known scalars.
  ByteView rodata{};
  /// The special fields of the value (locks, timers, kernel pointers, graph roots), from the map's BTF.
  btf::Record record{};
  const btf::Btf* btf = nullptr;  ///< of which `record` and `value_type_id` speak; lives as long as the map
  u32 value_type_id = 0;
  /// The template of an array_of_maps or hash_of_maps.
  const MapFacts* inner = nullptr;
};

/// Kernel's struct bpf_array: the values stand this many bytes after the map's address, which is what
/// inlined lookups (`r1 += 312`) rely on. ArrayMap and PerCpuArrayMap keep it.
inline constexpr u32 array_values_offset = 312;
/// A program array at the map's address: how many slots there are (u64), then for each a pointer to the Entry
/// that a tail call jumps to, or null.
inline constexpr u32 prog_array_slots_offset = array_values_offset;
inline constexpr u32 prog_array_count_offset = prog_array_slots_offset - 8;
/// Kernel's struct htab_elem: header before the key; the value stands at 48 + round_up(key_size, 8).
inline constexpr u32 hash_elem_header = 48;
/// Where an LRU hash's element has its mark of use (lru_node.ref), which inlined lookups set.
inline constexpr u32 hash_elem_ref = 35;

}  // namespace skep::maps
