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

constexpr HelperRow rows[] = {
    {1, map_lookup_elem},
    {2, map_update_elem},
    {3, map_delete_elem},
};

}  // namespace

std::span<const HelperRow> map_family() { return rows; }

}  // namespace skep::helpers
