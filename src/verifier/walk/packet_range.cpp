// Comparisons of packet pointers with the packet's end: how many bytes may be read (kernel:
// try_match_pkt_pointers(), find_good_pkt_pointers(), mark_pkt_end()).
#include <algorithm>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

/// A pointer to the packet's start as it was loaded.
bool is_start(const RegState& reg) {
  return reg.type.base == Base::packet && reg.off == 0 && reg.num.var_off == tnum_const(0);
}

/// `ptr` is checked against `end`: packet against its end, or metadata against the packet's start.
bool is_check(const RegState& ptr, const RegState& end) {
  return (ptr.type.base == Base::packet && end.type.base == Base::packet_end) ||
         (ptr.type.base == Base::packet_meta && is_start(end));
}

}  // namespace

/// All pointers with `ptr`'s id may be read up to where `ptr` points; where it is known to be strictly before
/// the end (`right_open`), one byte further.
void Walk::find_good_packet_pointers(State& state, const RegState& ptr, bool right_open) {
  if (ptr.off < 0 || (ptr.off == 0 && right_open)) return;
  if (ptr.num.umax > limits::max_packet_offset ||
      ptr.num.umax + static_cast<u64>(ptr.off) > limits::max_packet_offset)
    return;
  const s32 range = ptr.off + (right_open ? 1 : 0);
  const RegState wanted = ptr;
  for_each_reg(
      state,
      [&](const RegState& reg) {
        return reg.type == wanted.type && reg.id == wanted.id && reg.range < range;
      },
      [&](RegState& reg) { reg.range = range; });
}

/// The pointer is at the end, or beyond it (`right_open`): the same check again has a known outcome.
void Walk::mark_packet_end(State& state, u32 regno, bool right_open) {
  RegState& reg = state.regs()[regno];
  if (reg.type.base == Base::packet) reg.range = right_open ? -2 : -1;
}

bool Walk::match_packet_pointers(const Insn& insn, RegState& dst, RegState& src, State& other) {
  const u8 opcode = op_of(insn.code);
  if (opcode != op::JGT && opcode != op::JLT && opcode != op::JGE && opcode != op::JLE) return false;
  bool ptr_is_dst;
  if (is_check(dst, src)) {
    ptr_is_dst = true;
  } else if (is_check(src, dst)) {
    ptr_is_dst = false;
  } else {
    return false;
  }
  // As a relation of the pointer to the end.
  const u8 relation = ptr_is_dst ? opcode : flip_jump(opcode);
  const RegState ptr = ptr_is_dst ? dst : src;
  const u32 regno = ptr_is_dst ? u32{insn.dst} : u32{insn.src};
  // Where "ptr > end" or "ptr >= end" is false, the bytes before ptr are there; `other` is the jump's path.
  const bool jump_means_beyond = relation == op::JGT || relation == op::JGE;
  State& good = jump_means_beyond ? *e.cur : other;
  State& bad = jump_means_beyond ? other : *e.cur;
  const bool good_is_strict = relation == op::JGE || relation == op::JLT;  // ptr < end there
  find_good_packet_pointers(good, ptr, good_is_strict);
  mark_packet_end(bad, regno, !good_is_strict);
  return true;
}

}  // namespace skep::verifier
