// Pointer plus or minus a number (kernel: adjust_ptr_min_max_vals()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

bool fits_s32(s64 value) { return value == static_cast<s64>(static_cast<s32>(value)); }

bool contradictory(const Scalar& n) {
  return (n.is_const() && (n.smin != n.smax || n.umin != n.umax)) || n.smin > n.smax || n.umin > n.umax;
}

constexpr std::string_view alu_symbols[] = {
    "+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian"};

/// Whether numbers may be added to such a pointer at all; `off` known and 0 is always harmless for maps.
bool arithmetic_allowed(Base base, const Scalar& off, u8 operation) {
  switch (base) {
    case Base::ctx:
    case Base::map_value:
    case Base::map_key:
    case Base::stack:
    case Base::packet_meta:
    case Base::packet:
    case Base::tp_buffer:
    case Base::btf_id:
    case Base::mem:
    case Base::buf:
    case Base::func:
    case Base::dynptr:
      return true;
    case Base::flow_keys:
      if (off.is_const()) return true;
      [[fallthrough]];
    case Base::map_ptr:
      return off.is_const() && off.smin == 0 && operation == op::ADD;
    default:
      return false;
  }
}

}  // namespace

Status Walk::check_sane_offset(const RegState& reg, RegType type) {
  constexpr s64 limit = limits::max_var_offset;
  const auto value = static_cast<s64>(reg.num.var_off.value);
  if (reg.num.is_const() && (value >= limit || value <= -limit))
    return e.reject(EINVAL, "math between {} pointer and {} is not allowed\n", type_text(type), value);
  if (reg.off >= limit || reg.off <= -limit)
    return e.reject(EINVAL, "{} pointer offset {} is not allowed\n", type_text(type), reg.off);
  const s64 smin = reg.num.smin;
  if (smin == INT64_MIN)
    return e.reject(EINVAL, "math between {} pointer and register with unbounded min value is not allowed\n",
                    type_text(type));
  if (smin >= limit || smin <= -limit)
    return e.reject(EINVAL, "value {} makes {} pointer be out of bounds\n", smin, type_text(type));
  return passed;
}

/// The result stands in the destination register; `ptr` and `off` are copies of the operands.
Status Walk::adjust_pointer(const Insn& insn, const RegState& ptr, const RegState& off) {
  RegState& dst = regs()[insn.dst];
  const bool dst_was_ptr = !dst.is_scalar();
  const u8 operation = op_of(insn.code);
  const u32 dst_no = insn.dst;
  if (contradictory(off.num)) {  // from a dead branch
    mark_unknown(dst);
    return passed;
  }
  if (class_of(insn.code) != op::ALU64) {
    if (operation == op::SUB) {
      mark_unknown(dst);
      return passed;
    }
    return e.reject(EACCES, "R{} 32-bit pointer arithmetic prohibited\n", dst_no);
  }
  if (ptr.type.maybe_null())
    return e.reject(EACCES, "R{} pointer arithmetic on {} prohibited, null-check it first\n", dst_no,
                    type_text(ptr.type));
  if (ptr.type.base == Base::mem && (ptr.type.flags & tf::untrusted) != 0) {
    dst = ptr;  // any offset will do
    return passed;
  }
  if (!arithmetic_allowed(ptr.type.base, off.num, operation))
    return e.reject(EACCES, "R{} pointer arithmetic on {} prohibited\n", dst_no, type_text(ptr.type));
  dst = ptr;
  CHECK(check_sane_offset(off, ptr.type));
  CHECK(check_sane_offset(ptr, ptr.type));
  forget_ranges32(dst.num);
  switch (operation) {
    case op::ADD:
      add_to_pointer(dst, ptr, off);
      break;
    case op::SUB:
      if (!dst_was_ptr) return e.reject(EACCES, "R{} tried to subtract pointer from scalar\n", dst_no);
      if (ptr.type.base == Base::stack)
        return e.reject(EACCES, "R{} subtraction from stack pointer prohibited\n", dst_no);
      subtract_from_pointer(dst, ptr, off);
      break;
    case op::AND:
    case op::OR:
    case op::XOR:
      return e.reject(EACCES, "R{} bitwise operator {} on pointer prohibited\n", dst_no,
                      alu_symbols[operation >> 4]);
    default:
      return e.reject(EACCES, "R{} pointer arithmetic with {} operator prohibited\n", dst_no,
                      alu_symbols[operation >> 4]);
  }
  CHECK(check_sane_offset(dst, ptr.type));
  sync_bounds(dst.num);
  return passed;
}

void Walk::add_to_pointer(RegState& dst, const RegState& ptr, const RegState& off) {
  const Scalar& p = ptr.num;
  const Scalar& o = off.num;
  if (o.is_const() && fits_s32(ptr.off + o.smin)) {
    dst.off = static_cast<s32>(ptr.off + o.smin);
    return;
  }
  Scalar& d = dst.num;
  if (__builtin_add_overflow(p.smin, o.smin, &d.smin) || __builtin_add_overflow(p.smax, o.smax, &d.smax)) {
    d.smin = INT64_MIN;
    d.smax = INT64_MAX;
  }
  if (__builtin_add_overflow(p.umin, o.umin, &d.umin) || __builtin_add_overflow(p.umax, o.umax, &d.umax)) {
    d.umin = 0;
    d.umax = UINT64_MAX;
  }
  d.var_off = tnum_add(p.var_off, o.var_off);
  if (ptr.type.is_packet()) {  // another base: what was checked of the old one says nothing of it
    dst.id = ++e.id_gen;
    dst.raw = 0;
  }
}

void Walk::subtract_from_pointer(RegState& dst, const RegState& ptr, const RegState& off) {
  const Scalar& p = ptr.num;
  const Scalar& o = off.num;
  if (o.is_const() && fits_s32(ptr.off - o.smin)) {
    dst.off = static_cast<s32>(ptr.off - o.smin);
    return;
  }
  Scalar& d = dst.num;
  if (__builtin_sub_overflow(p.smin, o.smax, &d.smin) || __builtin_sub_overflow(p.smax, o.smin, &d.smax)) {
    d.smin = INT64_MIN;
    d.smax = INT64_MAX;
  }
  if (p.umin < o.umax) {
    d.umin = 0;
    d.umax = UINT64_MAX;
  } else {
    d.umin = p.umin - o.umax;
    d.umax = p.umax - o.umin;
  }
  d.var_off = tnum_sub(p.var_off, o.var_off);
  if (ptr.type.is_packet()) {
    dst.id = ++e.id_gen;
    if (o.smin < 0) dst.raw = 0;
  }
}

}  // namespace skep::verifier
