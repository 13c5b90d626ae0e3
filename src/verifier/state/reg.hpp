// The abstract value of one register or spilled register: a plain value, copied by memcpy
// (kernel: struct bpf_reg_state). `num` is the number of a scalar, or the variable part of a pointer's
// offset; `off` the constant part, or the distance between linked scalars.
#pragma once
#include <type_traits>

#include "maps/facts.hpp"
#include "verifier/domain/scalar.hpp"
#include "verifier/state/reg_type.hpp"

namespace skep::verifier {

/// Set in the id of a scalar that stands `off` away from the others of that id (kernel: BPF_ADD_CONST*).
inline constexpr u32 id_add_const64 = 1u << 31;
inline constexpr u32 id_add_const32 = 1u << 30;
inline constexpr u32 id_add_const = id_add_const64 | id_add_const32;

struct RegState {
  RegType type{};
  s32 off = 0;
  /// By type: packet, packet_meta: bytes known to be readable (`range`, negative: beyond the end); mem:
  /// `mem_size`; func: `subprog`; map_ptr, map_value, map_key: `map` and `map_uid`; btf_id: `btf` and
  /// `btf_id`.
  union {
    const maps::MapFacts* map = nullptr;
    s32 range;
    u32 mem_size;
    u32 subprog;
    const btf::Btf* btf;
    u64 raw;
  };
  union {
    u32 map_uid = 0;
    u32 btf_id;  ///< btf_id, and the iterators among stack slots: the type in `btf`
  };
  union {
    u32 frameno = 0;  ///< stack: whose frame
    u32 iter;         ///< iterators among stack slots: see iter_state()
    u32 by_lock;      ///< interrupt flags among stack slots: 1: bpf_res_spin_lock_irqsave() stored it
  };
  Scalar num{};
  u32 id = 0;          ///< 0: none
  u32 ref_obj_id = 0;  ///< the acquired reference it depends on; 0: none

  [[nodiscard]] bool is_scalar() const { return type.base == Base::scalar; }
  [[nodiscard]] bool is_const() const { return is_scalar() && num.is_const(); }
  [[nodiscard]] u32 base_id() const { return id & ~id_add_const; }
};
static_assert(std::is_trivially_copyable_v<RegState>);
static_assert(sizeof(RegState) == 96);

/// What an iterator's first stack slot says of it: has it ended, and how often was it advanced.
enum class IterState : u8 { invalid, active, drained };
constexpr u32 iter_state(IterState state, u32 depth) { return depth << 2 | static_cast<u32>(state); }
constexpr IterState iter_state_of(u32 iter) { return static_cast<IterState>(iter & 3); }
constexpr u32 iter_depth_of(u32 iter) { return iter >> 2; }

inline constexpr u32 reg_count = 11;
inline constexpr u32 frame_pointer = 10;

}  // namespace skep::verifier
