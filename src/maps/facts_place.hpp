// Where programs that read the kernel's struct bpf_map find a map's numbers: in the Map's MapFacts.
#pragma once
#include <cstddef>

#include "maps/facts.hpp"

namespace skep::maps {

/// From a map's address (MapFacts::map_address) to its facts; Map's constructor checks it.
inline constexpr u32 map_facts_offset = 40;

/// A member of struct bpf_map and the place of the same number behind the map's address.
struct MapField {
  std::string_view name;
  u32 size;
  u32 offset;
};
inline constexpr MapField map_fields[] = {
    {"map_type", 4, map_facts_offset + 4},
    {"key_size", 4, map_facts_offset + 8},
    {"value_size", 4, map_facts_offset + 12},
    {"max_entries", 4, map_facts_offset + 16},
    {"map_flags", 4, map_facts_offset + 20},
    {"map_extra", 8, map_facts_offset + 24},
    {"id", 4, map_facts_offset},
};
static_assert(offsetof(MapFacts, id) == 0 && offsetof(MapFacts, type) == 4 && sizeof(MapType) == 4);
static_assert(offsetof(MapFacts, key_size) == 8 && offsetof(MapFacts, value_size) == 12);
static_assert(offsetof(MapFacts, max_entries) == 16 && offsetof(MapFacts, flags) == 20);
static_assert(offsetof(MapFacts, map_extra) == 24);

}  // namespace skep::maps
