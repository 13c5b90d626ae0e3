// Helpers on maps (kernel/bpf/helpers.c). R1 is the map's address; keys and values have the map's sizes.
#include <array>

#include "helpers/families.hpp"
#include "maps/map.hpp"

namespace skep::helpers {
namespace {

u64 map_lookup_elem(u64 map, u64 key, u64, u64, u64, RunContext* run) {
  return reinterpret_cast<u64>(pointer<maps::Map>(map)->lookup(pointer<std::byte>(key), run->cpu));
}
u64 map_update_elem(u64 map, u64 key, u64 value, u64 flags, u64, RunContext* run) {
  return static_cast<u64>(s64{
      pointer<maps::Map>(map)->update(pointer<std::byte>(key), pointer<std::byte>(value), flags, run->cpu)});
}
u64 map_delete_elem(u64 map, u64 key, u64, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->remove(pointer<std::byte>(key))});
}

constexpr std::array<HelperRow, 3> rows = {{
    {{.id = 1,
      .name = "map_lookup_elem",
      .args = {const_map_ptr, map_key},
      .ret = Ret::map_value,
      .ret_flags = maybe_null,
      .pkt_access = true},
     map_lookup_elem},
    {{.id = 2,
      .name = "map_update_elem",
      .args = {const_map_ptr, map_key, map_value, anything},
      .pkt_access = true},
     map_update_elem},
    {{.id = 3, .name = "map_delete_elem", .args = {const_map_ptr, map_key}, .pkt_access = true},
     map_delete_elem},
}};

}  // namespace

std::span<const HelperRow> map_family() { return rows; }

}  // namespace skep::helpers
