// Dynptrs (struct bpf_dynptr): 16 bytes of stack that stand for memory, or a constant pointer to one that a
// callback is given. Both are RegStates of base dynptr: the slots' spilled registers (the first slot is the
// one at the higher index, where the address is lowest), or a register.
#pragma once
#include "verifier/state/frame.hpp"

namespace skep::verifier {

/// What a dynptr's memory is (kernel: enum bpf_dynptr_type).
enum class DynptrKind : u8 { invalid, local, ringbuf, skb, xdp, skb_meta, file };
inline constexpr u32 dynptr_slots = 2;

[[nodiscard]] constexpr std::string_view dynptr_kind_name(DynptrKind kind) {
  constexpr std::string_view names[] = {"<invalid>", "local", "ringbuf", "skb", "xdp", "skb_meta", "file"};
  return names[static_cast<u32>(kind)];
}
/// Its memory was acquired and must be given back.
[[nodiscard]] constexpr bool is_refcounted(DynptrKind kind) { return kind == DynptrKind::ringbuf; }

/// RegState::mem_size of a dynptr holds its kind and whether it is the first slot.
[[nodiscard]] inline DynptrKind dynptr_kind(const RegState& reg) {
  return static_cast<DynptrKind>(reg.mem_size & 0xff);
}
[[nodiscard]] inline bool is_first_slot(const RegState& reg) { return (reg.mem_size >> 8 & 1) != 0; }
inline void set_dynptr(RegState& reg, DynptrKind kind, bool first, u32 id) {
  reg = RegState{};
  reg.type = Base::dynptr;
  reg.num = Scalar::constant(0);
  reg.raw = 0;
  reg.mem_size = static_cast<u32>(kind) | (first ? 0x100u : 0u);
  reg.id = id;
}

/// The dynptr that memory is a slice of (base mem); 0: none. It shares its place with map_uid.
[[nodiscard]] inline u32 dynptr_id_of(const RegState& reg) {
  return reg.type.base == Base::mem ? reg.map_uid : 0;
}

}  // namespace skep::verifier
