// Helper calls as inline code, or as calls of the map's own operation: what the map's type allows when R1 is
// the same map on every path (kernel: do_misc_fixups(), each map type's map_gen_lookup).
#include <bit>

#include "fixup/rewrite.hpp"
#include "fixup/translate.hpp"
#include "helpers/internal.hpp"

namespace skep::fixup {
namespace {

using namespace isa::op;
using namespace helpers;

enum HelperId : s32 {
  map_lookup_elem = 1,
  map_update_elem = 2,
  map_delete_elem = 3,
  get_smp_processor_id = 8,
  tail_call = 12,
  per_cpu_ptr = 153,
  this_cpu_ptr = 154,
  timer_set_callback = 170,
  kptr_xchg = 194
};

constexpr u8 r0 = 0, r_map = 1, r_key = 2;

constexpr u32 round_up8(u32 n) { return (n + 7) & ~7u; }

/// R0 = R0 * stride, by shifting where that does.
isa::Insn scale(u32 stride) {
  return std::has_single_bit(stride) ? isa::encode(isa::Form::LSH64_K, r0, 0, 0, std::countr_zero(stride))
                                     : isa::encode(isa::Form::MUL64_K, r0, 0, 0, static_cast<s32>(stride));
}

/// R0 = address of the slot that the u32 at R2 indexes; R1 becomes the address of the first. An index that is
/// too large goes to the last instruction, which makes R0 0. `then` is done with the slot's address.
Patch array_lookup(const maps::MapFacts& map, u32 stride, std::initializer_list<isa::Insn> then) {
  const auto to_null = static_cast<s16>(3 + then.size());
  Patch patch{add_imm(r_map, static_cast<s32>(maps::array_values_offset)), load_u32(r0, r_key, 0),
              jump_if(JGE, true, r0, static_cast<s32>(map.max_entries), to_null), scale(stride),
              add_reg(r0, r_map)};
  for (const isa::Insn& insn : then) patch.add(insn);
  patch.add(jump(1));
  patch.add(mov_imm(r0, 0));
  return patch;
}

/// R0 = the element, or 0; then the distance to what is behind its key.
Patch hash_lookup(const maps::MapFacts& map, std::initializer_list<isa::Insn> then) {
  const auto distance = static_cast<s32>(maps::hash_elem_header + round_up8(map.key_size));
  Patch patch{call(fn_htab_map_lookup_elem), jump_if(JEQ, true, r0, 0, static_cast<s16>(1 + then.size())),
              add_imm(r0, distance)};
  for (const isa::Insn& insn : then) patch.add(insn);
  return patch;
}

/// The element's mark of use is set where it is not (htab_lru_map_gen_lookup()).
Patch lru_lookup(const maps::MapFacts& map) {
  const auto distance = static_cast<s32>(maps::hash_elem_header + round_up8(map.key_size));
  constexpr auto ref = static_cast<s16>(maps::hash_elem_ref);
  return {call(fn_htab_map_lookup_elem),
          jump_if(JEQ, true, r0, 0, 4),
          isa::encode(isa::Form::LDX_B, r_map, r0, ref, 0),
          jump_if(JNE, true, r_map, 0, 1),
          isa::encode(isa::Form::ST_B, r0, 0, ref, 1),
          add_imm(r0, distance)};
}

/// An empty slot is no map (array_of_map_gen_lookup()).
Patch array_of_maps_lookup(const maps::MapFacts& map) {
  return {add_imm(r_map, static_cast<s32>(maps::array_values_offset)),
          load_u32(r0, r_key, 0),
          jump_if(JGE, true, r0, static_cast<s32>(map.max_entries), 5),
          scale(8),
          add_reg(r0, r_map),
          load_u64(r0, r0, 0),
          jump_if(JEQ, true, r0, 0, 1),
          jump(1),
          mov_imm(r0, 0)};
}

Patch inline_lookup(const maps::MapFacts& map) {
  // The comparison's immediate is sign-extended: an index would never reach a larger bound.
  if (map.max_entries > static_cast<u32>(INT32_MAX)) return {};
  switch (map.type) {
    case MapType::array:
      if ((map.flags & uapi::F_INNER_MAP) != 0) return {};
      return array_lookup(map, round_up8(map.value_size), {});
    case MapType::percpu_array:
      return array_lookup(map, 8, {load_u64(r0, r0, 0), percpu_address(r0, r0)});
    case MapType::hash:
      return hash_lookup(map, {});
    case MapType::percpu_hash:
      return hash_lookup(map, {load_u64(r0, r0, 0), percpu_address(r0, r0)});
    case MapType::lru_hash:
      return lru_lookup(map);
    case MapType::lru_percpu_hash:
      return {call(fn_htab_lru_percpu_map_lookup_elem)};
    case MapType::array_of_maps:
      return array_of_maps_lookup(map);
    case MapType::hash_of_maps:
      return hash_lookup(map, {load_u64(r0, r0, 0)});
    default:
      return {};
  }
}

/// The map's own operation; 0: the helper finds it at run time.
s32 own_update(MapType type) {
  switch (type) {
    case MapType::hash:
      return fn_htab_map_update_elem;
    case MapType::percpu_hash:
      return fn_htab_percpu_map_update_elem;
    case MapType::lru_hash:
      return fn_htab_lru_map_update_elem;
    case MapType::lru_percpu_hash:
      return fn_htab_lru_percpu_map_update_elem;
    case MapType::array:
    case MapType::percpu_array:
      return fn_array_map_update_elem;
    default:
      return 0;
  }
}
s32 own_delete(MapType type) {
  switch (type) {
    case MapType::hash:
    case MapType::percpu_hash:
    case MapType::hash_of_maps:
      return fn_htab_map_delete_elem;
    case MapType::lru_hash:
    case MapType::lru_percpu_hash:
      return fn_htab_lru_map_delete_elem;
    case MapType::array:
    case MapType::percpu_array:
      return fn_array_map_delete_elem;
    default:
      return 0;
  }
}

Patch call_if_any(s32 function) { return function == 0 ? Patch{} : Patch{call(function)}; }

}  // namespace

Patch inline_call(const isa::Insn& insn, const maps::MapFacts* map, const void* program) {
  switch (insn.imm) {
    case tail_call:
      return {isa::encode(isa::Form::TAIL_CALL)};
    case get_smp_processor_id:
      return {mov_imm(r0, percpu_cpu_number), percpu_address(r0, r0), load_u32(r0, r0, 0)};
    case per_cpu_ptr:
    case this_cpu_ptr:
      // Of an object that holds the address (bpf_percpu_obj_new()); per-CPU variables of the kernel are
      // refused before this.
      return {load_u64(1, 1, 0), insn};
    case timer_set_callback: {
      const auto address = load_address(3, program);
      return {address[0], address[1], insn};
    }
    case kptr_xchg:
      return {isa::encode(isa::Form::MOV64_X, r0, 2),
              isa::Insn{.code = STX | ATOMIC | DW, .dst = 1, .src = r0, .imm = XCHG}};
    case map_lookup_elem:
      return map == nullptr ? Patch{} : inline_lookup(*map);
    case map_update_elem:
      return map == nullptr ? Patch{} : call_if_any(own_update(map->type));
    case map_delete_elem:
      return map == nullptr ? Patch{} : call_if_any(own_delete(map->type));
    default:
      return {};
  }
}

}  // namespace skep::fixup
