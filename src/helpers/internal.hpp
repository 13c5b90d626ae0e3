// Functions that no program names: only rewritten code calls them, where the kernel's fixups put a map's own
// operation in place of a helper (do_misc_fixups()). Their ids lie above every enum bpf_func_id; they are
// shown by their kernel names. helpers::function() gives the code.
#pragma once
#include <string_view>

#include "base/types.hpp"
#include "helpers/run_context.hpp"

namespace skep::maps {
class Map;
}

namespace skep::helpers {

enum InternalFn : s32 {
  fn_internal_base = 0x10000,
  fn_htab_map_lookup_elem,  ///< __htab_map_lookup_elem: the element, its value at +48+round_up(key_size, 8)
  fn_htab_map_update_elem,
  fn_htab_map_delete_elem,
  fn_array_map_update_elem,  ///< arrays and per-CPU arrays
  fn_array_map_delete_elem,
  fn_percpu_array_map_lookup_elem,
  fn_htab_percpu_map_lookup_elem,
  fn_htab_percpu_map_update_elem,
  fn_htab_lru_map_lookup_elem,
  fn_htab_lru_map_update_elem,
  fn_htab_lru_map_delete_elem,
  fn_htab_lru_percpu_map_lookup_elem,
  fn_htab_lru_percpu_map_update_elem,
  fn_skb_load_8,  ///< bpf_skb_load_helper_8_no_cache: (skb, offset), what ld_abs and ld_ind become
  fn_skb_load_16,
  fn_skb_load_32,
  fn_internal_end,
};

/// The function `id` for that map, where the map has one that does without asking of what kind it is; else
/// nullptr: helpers::function() has one for all.
[[nodiscard]] HelperFn function_of_map(s32 id, const maps::Map& map);

/// "__htab_map_lookup_elem", ...; empty if `id` is none.
[[nodiscard]] std::string_view internal_fn_name(s32 id);

}  // namespace skep::helpers
