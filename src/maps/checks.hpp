// Words for ops->map_alloc_check() of the map types: what their sizes, entries and flags may be.
#pragma once
#include <fmt/format.h>

#include <bit>

#include "maps/types.hpp"
#include "maps/value_copy.hpp"

namespace skep::maps {

inline constexpr u64 page_bytes = 4096;  ///< what the kernel's limits and formulas count in

/// Only `known` flags, and no contradiction among the access flags of programs.
inline Result<void> check_flags(const MapSpec& spec, u32 known) {
  if ((spec.flags & ~known) != 0 || !access_flags_ok(spec.flags))
    return fail(EINVAL, fmt::format("map_flags {:#x} are not allowed", spec.flags));
  return {};
}
inline Result<void> check_key(const MapSpec& spec, u32 wanted) {
  if (spec.key_size != wanted)
    return fail(EINVAL, fmt::format("key_size is {}, must be {}", spec.key_size, wanted));
  return {};
}
inline Result<void> check_value(const MapSpec& spec, u32 wanted) {
  if (spec.value_size != wanted)
    return fail(EINVAL, fmt::format("value_size is {}, must be {}", spec.value_size, wanted));
  return {};
}
/// A value of one descriptor or interface, or of one and a second field behind it.
inline Result<void> check_value_4_or_8(const MapSpec& spec) {
  if (spec.value_size != 4 && spec.value_size != 8)
    return fail(EINVAL, fmt::format("value_size is {}, must be 4 or 8", spec.value_size));
  return {};
}
inline Result<void> check_entries(const MapSpec& spec) {
  if (spec.max_entries == 0) return fail(EINVAL, "max_entries is 0");
  return {};
}
inline Result<void> check_no_entries(const MapSpec& spec) {
  if (spec.max_entries != 0) return fail(EINVAL, "max_entries must be 0");
  return {};
}
/// What every type has that keeps its elements in one allocation (vmalloc() of more than the machine has).
inline Result<void> check_memory(u64 bytes) {
  if (bytes > u64{1} << 40) return fail(ENOMEM, fmt::format("{} bytes", bytes));
  return {};
}

/// The flags of most maps that hold references to objects: node and bpf(2)'s access.
inline constexpr u32 reference_flags = uapi::F_NUMA_NODE | uapi::F_RDONLY | uapi::F_WRONLY;

}  // namespace skep::maps
