// One row a map type: what registry.cpp collects. A type's file defines its row; nothing else of it is seen.
#pragma once
#include <array>

#include "maps/map.hpp"

namespace skep::maps {

struct MapTypeRow {
  MapType type = MapType::unspec;
  /// ops->map_alloc_check(): sizes, entries and flags of this type.
  Result<void> (*check)(const MapSpec& spec) = nullptr;
  Result<MapRef> (*make)(const MapSpec& spec, const Environment& environment) = nullptr;
  /// ops->map_check_btf() beyond the sizes: whether the type takes BTF, and of a void key (array of one
  /// DATASEC).
  ///   no          none; void_key  only a key without type
  ///   array       a 32-bit integer, or void for the array of one DATASEC
  ///   int_key     a 32-bit integer; struct_key  a structure (lpm_trie); cgroup_key  struct
  ///               bpf_cgroup_storage_key or u64
  enum class Btf : u8 { no, any, array, int_key, struct_key, cgroup_key, void_key } btf = Btf::no;
};

extern const MapTypeRow array_row;
extern const MapTypeRow percpu_array_row;
extern const std::array<MapTypeRow, 5> hash_rows;
extern const MapTypeRow array_row;
extern const MapTypeRow percpu_array_row;
extern const MapTypeRow prog_array_row;
extern const MapTypeRow array_of_maps_row;
extern const MapTypeRow cgroup_array_row;
extern const MapTypeRow perf_event_array_row;
extern const MapTypeRow lpm_trie_row;
extern const MapTypeRow devmap_row;
extern const MapTypeRow devmap_hash_row;
extern const MapTypeRow cpumap_row;
extern const MapTypeRow ringbuf_row;
extern const MapTypeRow user_ringbuf_row;
extern const MapTypeRow queue_row;
extern const MapTypeRow stack_row;
extern const MapTypeRow bloom_filter_row;
extern const MapTypeRow struct_ops_row;
/// reserved.cpp
extern const std::array<MapTypeRow, 8> reserved_rows;
/// socket_maps.cpp
extern const std::array<MapTypeRow, 4> socket_rows;

/// The row of a type, or nullptr.
[[nodiscard]] const MapTypeRow* find_row(MapType type);

/// access flags that may stand together (bpf_map_flags_access_ok()).
[[nodiscard]] constexpr bool access_flags_ok(u32 flags) {
  return (flags & (uapi::F_RDONLY_PROG | uapi::F_WRONLY_PROG)) != (uapi::F_RDONLY_PROG | uapi::F_WRONLY_PROG);
}
/// BPF_F_ACCESS_MASK
inline constexpr u32 access_mask =
    uapi::F_RDONLY | uapi::F_WRONLY | uapi::F_RDONLY_PROG | uapi::F_WRONLY_PROG;
/// Greatest per-CPU value (PCPU_MIN_UNIT_SIZE) and greatest kmalloc (KMALLOC_MAX_SIZE).
inline constexpr u32 percpu_value_max = 32768;
inline constexpr u64 kmalloc_max = u64{4} << 20;
/// Kernel's struct bpf_array and struct bpf_htab, which memlock counts.
inline constexpr u64 sizeof_bpf_array = 312;
inline constexpr u64 sizeof_bpf_htab = 896;

}  // namespace skep::maps
