// Loads and stores through pointers whose memory programs see under another layout than it has: contexts and
// sockets. One converter a structure; access.cpp chooses. Inside the room.
#pragma once
#include "fixup/patch.hpp"
#include "verifier/verify.hpp"

namespace skep::fixup {

/// What a conversion needs to know of the program.
struct AccessRules {
  ProgType type = ProgType::unspec;
  bool tstamp_type_access = false;  ///< it reads __sk_buff.tstamp_type, so tstamp is given to it as it is
};

/// What a converter makes of one access that covers its whole field. `size` is what the field takes in the
/// kernel's structure (kernel: target_size): a narrower load is masked only if that is wider. No
/// instructions: no such field.
struct Converted {
  Patch patch;
  u32 size = 0;
};

[[nodiscard]] Converted convert_xdp_md(const isa::Insn& insn);
[[nodiscard]] Converted convert_sk_buff(const AccessRules& rules, const isa::Insn& insn);
[[nodiscard]] Converted convert_flow_dissector(const isa::Insn& insn);
[[nodiscard]] Converted convert_sk_lookup(const isa::Insn& insn);
[[nodiscard]] Converted convert_sock(const isa::Insn& insn);
[[nodiscard]] Converted convert_tcp_sock(const isa::Insn& insn);
[[nodiscard]] Converted convert_xdp_sock(const isa::Insn& insn);

inline bool is_store(const isa::Insn& insn) { return isa::class_of(insn.code) != isa::op::LDX; }
/// A load of another size and place than `insn`, into its register from its base.
inline isa::Insn load_of(u8 size, const isa::Insn& insn, std::size_t off) {
  return isa::Insn{.code = static_cast<u8>(isa::op::LDX | isa::op::MEM | size),
                   .dst = insn.dst,
                   .src = insn.src,
                   .off = static_cast<s16>(off)};
}
/// The same from where the register that was just loaded points.
inline isa::Insn load_through(u8 size, const isa::Insn& insn, std::size_t off) {
  isa::Insn load = load_of(size, insn, off);
  load.src = insn.dst;
  return load;
}
/// The store `insn`, of a register or a number, with another size and place.
inline isa::Insn store_of(u8 size, const isa::Insn& insn, std::size_t off) {
  isa::Insn store = insn;
  store.code = static_cast<u8>(isa::class_of(insn.code) | isa::op::MEM | size);
  store.off = static_cast<s16>(off);
  return store;
}

}  // namespace skep::fixup
