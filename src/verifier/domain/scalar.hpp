// What the verifier knows of a number in a register or stack slot: a tnum and four ranges that hold at once.
// Every transfer function follows the kernel's, step by step, because the result is printed in logs and
// decides verdicts; tests/golden/domain.jsonl.gz has 8,000 of the kernel's answers. Pure values: no ids, no
// types, no log; the walk adds those. Relies on tnum.hpp and isa/insn.hpp.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "isa/insn.hpp"
#include "verifier/domain/tnum.hpp"

namespace skep::verifier {

/// Kernel: the numeric part of struct bpf_reg_state. Always in step with each other after sync_bounds().
/// A dead branch may leave min > max; bounds_violation() says so.
struct Scalar {
  Tnum var_off = tnum_unknown;
  s64 smin = INT64_MIN, smax = INT64_MAX;
  u64 umin = 0, umax = UINT64_MAX;
  s32 smin32 = INT32_MIN, smax32 = INT32_MAX;
  u32 umin32 = 0, umax32 = UINT32_MAX;

  bool operator==(const Scalar& other) const { return std::memcmp(this, &other, sizeof(Scalar)) == 0; }

  static constexpr Scalar unknown() { return {}; }
  static constexpr Scalar constant(u64 v) {
    return {tnum_const(v),       static_cast<s64>(v), static_cast<s64>(v), v, v, static_cast<s32>(v),
            static_cast<s32>(v), static_cast<u32>(v), static_cast<u32>(v)};
  }
  /// Anything that fits the low `bytes` (1, 2, 4, 8) bytes: the result of a zero-extending load.
  static Scalar of_size(u32 bytes);
  /// Anything in min..max (signed), in step.
  static Scalar in_range(s64 min, s64 max);

  [[nodiscard]] constexpr bool is_const() const { return var_off.is_const(); }
  [[nodiscard]] constexpr bool is_const32() const { return tnum_subreg_is_const(var_off); }
  [[nodiscard]] constexpr bool is_const(bool is32) const { return is32 ? is_const32() : is_const(); }
  /// The value if is_const(is32).
  [[nodiscard]] constexpr u64 const_value(bool is32 = false) const {
    return is32 ? (var_off.value & 0xffffffff) : var_off.value;
  }
  [[nodiscard]] bool contains(u64 v) const;  ///< all five facts hold for v
};
static_assert(sizeof(Scalar) == 64);  // no padding: compared as bytes

// --- bounds (bounds.cpp) ---------------------------------------------------------------------------------

/// Forgets all ranges, keeps var_off (kernel: __mark_reg_unbounded).
void forget_ranges(Scalar& r);
void forget_ranges64(Scalar& r);
void forget_ranges32(Scalar& r);
inline void mark_known(Scalar& r, u64 value) { r = Scalar::constant(value); }
/// The low half is known; the upper half and the 64-bit ranges stay (kernel: __mark_reg32_known).
void mark_known32(Scalar& r, u32 value);
/// Ranges learn from var_off, without deduction (kernel: __update_reg_bounds).
void update_bounds(Scalar& r);
/// Brings all five facts in step (kernel: reg_bounds_sync).
void sync_bounds(Scalar& r);
/// The upper half becomes 0; 64-bit ranges come from the 32-bit ones. No sync (kernel: zext_32_to_64).
void zext_32_to_64(Scalar& r);
/// Keeps the low `bytes` (1, 2, 4) zero-extended; in step afterwards (kernel: coerce_reg_to_size).
void coerce_to_size(Scalar& r, u32 bytes);
/// Sign-extends the low `bytes` (1, 2, 4) to 64 bits (kernel: coerce_reg_to_size_sx).
void coerce_to_size_sx(Scalar& r, u32 bytes);
/// Sign-extends the low `bytes` (1, 2) to 32 bits; zero extension and sync are the caller's
/// (kernel: coerce_subreg_to_size_sx).
void coerce_subreg_to_size_sx(Scalar& r, u32 bytes);

/// nullptr, or what is contradictory: "range bounds violation", "const tnum out of sync with range bounds",
/// "const subreg tnum out of sync with range bounds" (kernel: reg_bounds_sanity_check, whose caller then
/// forgets the ranges).
[[nodiscard]] const char* bounds_violation(const Scalar& r);
/// A known number in step with itself.
[[nodiscard]] inline bool is_known_in_step(const Scalar& r) {
  return r.var_off.is_const() && r == Scalar::constant(r.var_off.value);
}
/// That bounds_violation() is nullptr, for most numbers without a call.
[[nodiscard]] inline bool is_sane(const Scalar& r) {
  if (is_known_in_step(r)) return true;
  const u32 in_order = static_cast<u32>(r.umin <= r.umax) & static_cast<u32>(r.smin <= r.smax) &
                       static_cast<u32>(r.umin32 <= r.umax32) & static_cast<u32>(r.smin32 <= r.smax32);
  return (in_order != 0 && !r.is_const32()) || bounds_violation(r) == nullptr;
}
/// The kernel's line for such a register, with newline; `where` is "true_reg1", "alu", ...
[[nodiscard]] std::string bounds_violation_text(const Scalar& r, std::string_view where);

/// Every range of `cur` lies within that of `old` (kernel: range_within). Inline, and without a branch for
/// each end: two states are compared for every few instructions.
[[nodiscard]] inline bool range_within(const Scalar& old, const Scalar& cur) {
  return (static_cast<u32>(old.umin <= cur.umin) & static_cast<u32>(old.umax >= cur.umax) &
          static_cast<u32>(old.smin <= cur.smin) & static_cast<u32>(old.smax >= cur.smax) &
          static_cast<u32>(old.umin32 <= cur.umin32) & static_cast<u32>(old.umax32 >= cur.umax32) &
          static_cast<u32>(old.smin32 <= cur.smin32) & static_cast<u32>(old.smax32 >= cur.smax32)) != 0;
}

// --- arithmetic (alu.cpp, shift.cpp, extend.cpp) ---------------------------------------------------------

/// dst = dst OP src for an ALU or ALU64 instruction other than MOV, both operands scalars (for an immediate:
/// Scalar::constant of it, sign-extended). NEG and END ignore src. What cannot be followed (division, modulo,
/// shifts by an unknown or too large count) becomes unknown (kernel: adjust_scalar_min_max_vals).
void alu(const isa::Insn& insn, Scalar& dst, const Scalar& src);

/// Whether alu() follows the instruction or gives up (kernel: is_safe_to_compute_dst_reg_range).
[[nodiscard]] bool alu_is_computable(const isa::Insn& insn, const Scalar& src);

/// MOV and MOVSX from a scalar register: `r1 = r2`, `w1 = w2`, `r1 = (s8)r2`, `w1 = (s16)w2`.
[[nodiscard]] Scalar mov(const isa::Insn& insn, const Scalar& src);

enum class Fork : u8 { none, full, low32 };
/// Before AND, OR with a known source, a destination that is exactly [-1, 0] is split: the walk pushes a
/// branch at this same instruction with 0 and goes on with -1, in all 64 bits or in the low 32
/// (kernel: maybe_fork_scalars). Otherwise none.
[[nodiscard]] Fork needs_fork(const isa::Insn& insn, const Scalar& dst, const Scalar& src);

// --- conditional jumps (branch.cpp) ----------------------------------------------------------------------

/// JSET's negation has no opcode: JSET with this bit set stands for it in reverse_jump() and refine().
inline constexpr u8 jset_negated = isa::op::JSET | isa::op::X;

/// 1: `a OP b` holds for all values, 0: for none, -1: it depends. `op` is a jump operation (isa::op::JEQ
/// ...).
[[nodiscard]] int branch_taken(u8 op, const Scalar& a, const Scalar& b, bool is32);
/// The operation for "b OP' a" that equals "a OP b".
[[nodiscard]] u8 flip_jump(u8 op);
/// The operation that holds exactly if `op` does not.
[[nodiscard]] u8 reverse_jump(u8 op);
/// Both operands learn that `a OP b` is true; no sync (kernel: regs_refine_cond_op). To learn that it is
/// false, pass reverse_jump(op).
void refine(u8 op, Scalar& a, Scalar& b, bool is32);

/// The four registers after a conditional jump (kernel: reg_set_min_max). On entry all four are the state
/// before the jump. All are in step afterwards; checking bounds_violation() is the caller's.
void refine_branch(u8 op, bool is32, Scalar& true_a, Scalar& true_b, Scalar& false_a, Scalar& false_b);

// --- text (print.cpp) ------------------------------------------------------------------------------------

void append_unsigned(std::string& out, u64 v);  ///< decimal up to 65535, else 0x hex
void append_signed(std::string& out, s64 v);    ///< decimal within s16, else 0x hex
/// "42" or "(0x0; 0xff)".
[[nodiscard]] std::string tnum_text(Tnum t);
/// "smin=..,smax=.." and ",var_off=..", what differs from unknown only, equal values folded. `comma` says
/// whether something stands before it, and afterwards whether something does.
void append_ranges(std::string& out, const Scalar& r, bool& comma);
/// As the log prints a scalar without its precision mark: "5", "scalar()", "scalar(id=1,umax=9)". `id` is ""
/// or "id=1", "id=1+5".
[[nodiscard]] std::string scalar_text(const Scalar& r, std::string_view id = {});

}  // namespace skep::verifier
