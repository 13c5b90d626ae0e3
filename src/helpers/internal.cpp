// The functions of rewritten code: a map's own operations (kernel: the map_ops that do_misc_fixups() calls
// directly). R1 is the map's address.
#include "helpers/internal.hpp"

#include <array>

#include "helpers/families.hpp"
#include "maps/hash.hpp"

namespace skep::helpers {

// skb_load.cpp
u64 skb_load_8(u64 skb, u64 offset, u64, u64, u64, RunContext*);
u64 skb_load_16(u64 skb, u64 offset, u64, u64, u64, RunContext*);
u64 skb_load_32(u64 skb, u64 offset, u64, u64, u64, RunContext*);

namespace {

u64 map_lookup(u64 map, u64 key, u64, u64, u64, RunContext* run) {
  return reinterpret_cast<u64>(pointer<maps::Map>(map)->lookup(pointer<std::byte>(key), run->cpu));
}
u64 map_update(u64 map, u64 key, u64 value, u64 flags, u64, RunContext* run) {
  return static_cast<u64>(s64{
      pointer<maps::Map>(map)->update(pointer<std::byte>(key), pointer<std::byte>(value), flags, run->cpu)});
}
u64 map_delete(u64 map, u64 key, u64, u64, u64, RunContext*) {
  return static_cast<u64>(s64{pointer<maps::Map>(map)->remove(pointer<std::byte>(key))});
}
/// The caller adds the distance to the value, so this one gives the element.
u64 htab_lookup_element(u64 map, u64 key, u64, u64, u64, RunContext*) {
  auto* hash = static_cast<maps::HashMap*>(pointer<maps::Map>(map));  // the verifier knew the map's type
  return reinterpret_cast<u64>(hash->lookup_element(pointer<std::byte>(key)));
}

template <u32 key_size>
u64 htab_update(u64 map, u64 key, u64 value, u64 flags, u64, RunContext* run) {
  auto* hash = static_cast<maps::HashMap*>(pointer<maps::Map>(map));
  return static_cast<u64>(
      s64{hash->update_sized<key_size>(pointer<std::byte>(key), pointer<std::byte>(value), flags, run->cpu)});
}
template <u32 key_size>
u64 htab_delete(u64 map, u64 key, u64, u64, u64, RunContext*) {
  auto* hash = static_cast<maps::HashMap*>(pointer<maps::Map>(map));
  return static_cast<u64>(s64{hash->remove_sized<key_size>(pointer<std::byte>(key))});
}

struct InternalRow {
  s32 id;
  std::string_view name;
  HelperFn fn;  ///< nullptr: skep has no such map type yet
};
constexpr std::array<InternalRow, fn_internal_end - fn_internal_base - 1> rows = {{
    {fn_htab_map_lookup_elem, "__htab_map_lookup_elem", htab_lookup_element},
    {fn_htab_map_update_elem, "htab_map_update_elem", map_update},
    {fn_htab_map_delete_elem, "htab_map_delete_elem", map_delete},
    {fn_array_map_update_elem, "array_map_update_elem", map_update},
    {fn_array_map_delete_elem, "array_map_delete_elem", map_delete},
    {fn_percpu_array_map_lookup_elem, "percpu_array_map_lookup_elem", map_lookup},
    {fn_htab_percpu_map_lookup_elem, "htab_percpu_map_lookup_elem", map_lookup},
    {fn_htab_percpu_map_update_elem, "htab_percpu_map_update_elem", map_update},
    {fn_htab_lru_map_lookup_elem, "htab_lru_map_lookup_elem", map_lookup},
    {fn_htab_lru_map_update_elem, "htab_lru_map_update_elem", map_update},
    {fn_htab_lru_map_delete_elem, "htab_lru_map_delete_elem", map_delete},
    {fn_htab_lru_percpu_map_lookup_elem, "htab_lru_percpu_map_lookup_elem", map_lookup},
    {fn_htab_lru_percpu_map_update_elem, "htab_lru_percpu_map_update_elem", map_update},
    {fn_skb_load_8, "bpf_skb_load_helper_8_no_cache", skb_load_8},
    {fn_skb_load_16, "bpf_skb_load_helper_16_no_cache", skb_load_16},
    {fn_skb_load_32, "bpf_skb_load_helper_32_no_cache", skb_load_32},
}};

const InternalRow* find(s32 id) {
  const s32 index = id - fn_internal_base - 1;
  return index >= 0 && index < s32{rows.size()} ? &rows[static_cast<std::size_t>(index)] : nullptr;
}

}  // namespace

static_assert(
    [] {
      for (std::size_t i = 0; i < rows.size(); ++i)
        if (rows[i].id != fn_internal_base + 1 + static_cast<s32>(i)) return false;
      return true;
    }(),
    "the rows stand in the order of the enum");

std::string_view internal_fn_name(s32 id) {
  const InternalRow* row = find(id);
  return row != nullptr ? row->name : std::string_view{};
}

HelperFn function_of_map(s32 id, const maps::Map& map) {
  return maps::with_key_size(map.facts().key_size, [&](auto size) -> HelperFn {
    switch (id) {
      case fn_htab_map_update_elem:
      case fn_htab_percpu_map_update_elem:
      case fn_htab_lru_map_update_elem:
      case fn_htab_lru_percpu_map_update_elem:
        return htab_update<size>;
      case fn_htab_map_delete_elem:
      case fn_htab_lru_map_delete_elem:
        return htab_delete<size>;
      default:
        return nullptr;
    }
  });
}

HelperFn internal_function(s32 id);
HelperFn internal_function(s32 id) {
  const InternalRow* row = find(id);
  return row != nullptr ? row->fn : nullptr;
}

}  // namespace skep::helpers
