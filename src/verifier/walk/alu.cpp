// ALU instructions (kernel: check_alu_op(), adjust_reg_min_max_vals()). The numbers are domain/'s; here are
// operands, reserved fields, pointers, and the ids that link scalars.
#include <bit>

#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using namespace isa;

namespace {

bool is_alu64(const Insn& insn) { return class_of(insn.code) == op::ALU64; }

void clear_id(RegState& reg) {
  reg.id = 0;
  reg.off = 0;
}

constexpr std::string_view alu_symbols[] = {
    "+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian"};
std::string_view alu_symbol(const Insn& insn) {
  const u32 i = insn.code >> 4;
  return i < std::size(alu_symbols) ? alu_symbols[i] : "?";
}

}  // namespace

Status Walk::check_alu(const Insn& insn) {
  const u8 operation = op_of(insn.code);
  if (operation == op::NEG || operation == op::END) {
    CHECK(check_neg_end(insn));
  } else if (operation == op::MOV) {
    CHECK(check_mov(insn));
  } else if (operation > op::END) {
    return e.reject(EINVAL, "invalid BPF_ALU opcode {:x}\n", operation);
  } else {
    CHECK(check_binary(insn));
  }
  return check_bounds_sane(regs()[insn.dst], "alu");
}

Status Walk::check_neg_end(const Insn& insn) {
  if (op_of(insn.code) == op::NEG) {
    if (is_reg_source(insn.code) || insn.src != 0 || insn.off != 0 || insn.imm != 0)
      return e.reject(EINVAL, "BPF_NEG uses reserved fields\n");
  } else if (insn.src != 0 || insn.off != 0 || (insn.imm != 16 && insn.imm != 32 && insn.imm != 64) ||
             (is_alu64(insn) && is_reg_source(insn.code))) {
    return e.reject(EINVAL, "BPF_END uses reserved fields\n");
  }
  CHECK(check_reg(insn.dst, Use::source));
  RegState& dst = regs()[insn.dst];
  if (!dst.is_scalar()) return check_reg(insn.dst, Use::dest);
  CHECK(check_reg(insn.dst, Use::dest_keep));
  const Scalar before = dst.num;
  mark_unknown(dst);
  dst.num = before;
  alu(insn, dst.num, before);
  return passed;
}

Status Walk::check_mov(const Insn& insn) {
  if (!is_reg_source(insn.code)) {
    if (insn.src != 0 || insn.off != 0) return e.reject(EINVAL, "BPF_MOV uses reserved fields\n");
    CHECK(check_reg(insn.dst, Use::dest_keep));
    mark_known(regs()[insn.dst],
               is_alu64(insn) ? static_cast<u64>(s64{insn.imm}) : static_cast<u32>(insn.imm));
    return passed;
  }
  const bool narrow = insn.off == 8 || insn.off == 16;
  if (!is_alu64(insn)) {
    if ((insn.off != 0 && !narrow) || insn.imm != 0)
      return e.reject(EINVAL, "BPF_MOV uses reserved fields\n");
  } else if (insn.off == 1) {  // BPF_ADDR_SPACE_CAST
    if (insn.imm != 1 && insn.imm != 1 << 16)
      return e.reject(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0\n");
    if (e.program.arena == nullptr)
      return e.reject(EINVAL,
                      "addr_space_cast insn can only be used in a program that has an associated arena\n");
  } else if ((insn.off != 0 && !narrow && insn.off != 32) || insn.imm != 0) {
    return e.reject(EINVAL, "BPF_MOV uses reserved fields\n");
  }
  CHECK(check_reg(insn.src, Use::source));
  CHECK(check_reg(insn.dst, Use::dest_keep));
  mov_register(insn);
  return passed;
}

/// dst = src, with or without sign extension. A link between the two is kept only if the value is.
void Walk::mov_register(const Insn& insn) {
  RegState& dst = regs()[insn.dst];
  RegState& src = regs()[insn.src];
  if (is_alu64(insn) && insn.imm != 0) {  // addr_space_cast, to the kernel's address space or from it
    mark_unknown(dst);
    if (insn.imm == 1) dst.type = Base::arena;
    return;
  }
  if (is_alu64(insn) && insn.off == 0) {
    assign_scalar_id(src);
    dst = src;
    return;
  }
  if (!src.is_scalar()) {  // a part of a pointer
    mark_unknown(dst);
    if (!is_alu64(insn)) dst.num = Scalar::of_size(4);
    return;
  }
  bool same_value;
  if (insn.off != 0) {
    same_value = src.num.umax < u64{1} << (insn.off - 1);
  } else {
    same_value = std::bit_width(src.num.umax) <= 32;
  }
  if (same_value) assign_scalar_id(src);
  dst = src;
  if (!same_value) clear_id(dst);
  dst.num = mov(insn, src.num);
}

Status Walk::check_binary(const Insn& insn) {
  const u8 operation = op_of(insn.code);
  const bool divides = operation == op::DIV || operation == op::MOD;
  const bool bad_off = (insn.off != 0 && insn.off != 1) || (insn.off == 1 && !divides);
  if (is_reg_source(insn.code)) {
    if (insn.imm != 0 || bad_off) return e.reject(EINVAL, "BPF_ALU uses reserved fields\n");
    CHECK(check_reg(insn.src, Use::source));
  } else if (insn.src != 0 || bad_off) {
    return e.reject(EINVAL, "BPF_ALU uses reserved fields\n");
  }
  CHECK(check_reg(insn.dst, Use::source));
  if (divides && !is_reg_source(insn.code) && insn.imm == 0) return e.reject(EINVAL, "div by zero\n");
  if ((operation == op::LSH || operation == op::RSH || operation == op::ARSH) && !is_reg_source(insn.code)) {
    const s32 width = is_alu64(insn) ? 64 : 32;
    if (insn.imm < 0 || insn.imm >= width) return e.reject(EINVAL, "invalid shift {}\n", insn.imm);
  }
  CHECK(check_reg(insn.dst, Use::dest_keep));
  return adjust_registers(insn);
}

Status Walk::adjust_registers(const Insn& insn) {
  RegState& dst = regs()[insn.dst];
  if (is_reg_source(insn.code) && regs()[insn.src].type == Base::arena && dst.type != Base::arena)
    dst = regs()[insn.src];
  if (dst.type == Base::arena) return passed;  // 32 bits, wherever they point: any arithmetic will do
  if (!is_reg_source(insn.code)) {
    const auto value = static_cast<u64>(s64{insn.imm});
    if (dst.is_scalar()) return adjust_scalars(insn, dst, Scalar::constant(value));
    RegState constant;
    mark_known(constant, value);
    const RegState ptr = dst;
    return adjust_pointer(insn, ptr, constant);
  }
  const RegState& src = regs()[insn.src];  // may be dst
  if (!src.is_scalar()) {
    if (!dst.is_scalar()) {
      if (op_of(insn.code) == op::SUB) {  // the distance between two pointers
        mark_unknown(dst);
        return passed;
      }
      return e.reject(EACCES, "R{} pointer {} pointer prohibited\n", u32{insn.dst}, alu_symbol(insn));
    }
    CHECK(mark_precise(insn.dst));
    const RegState off = dst;
    return adjust_pointer(insn, src, off);
  }
  if (!dst.is_scalar()) {
    CHECK(mark_precise(insn.src));
    const RegState ptr = dst;
    return adjust_pointer(insn, ptr, src);
  }
  return adjust_scalars(insn, dst, src.num);
}

/// `src` may be the number of `dst`.
Status Walk::adjust_scalars(const Insn& insn, RegState& dst, const Scalar& src) {
  if (!alu_is_computable(insn, src)) {
    mark_unknown(dst);
    return passed;
  }
  if (const Fork fork = needs_fork(insn, dst.num, src); fork != Fork::none) {
    State* other = nullptr;
    CHECK(push_path(e.insn_idx, e.insn_idx, other));
    RegState& other_dst = other->regs()[insn.dst];
    if (fork == Fork::full) {
      verifier::mark_known(other_dst.num, 0);
      verifier::mark_known(dst.num, ~u64{0});
      clear_id(other_dst);
      clear_id(dst);
    } else {
      mark_known32(other_dst.num, 0);
      mark_known32(dst.num, ~u32{0});
    }
  }
  if (!is_alu64(insn) && dst.num.umax > UINT32_MAX) clear_id(dst);  // the result loses the upper half
  alu(insn, dst.num, src);
  link_after_add(insn, dst, src);
  return passed;
}

/// `r1 = r2; r1 += K` leaves r1 linked to r2 at distance K; any other change cuts the link.
void Walk::link_after_add(const Insn& insn, RegState& dst, const Scalar& src) {
  const bool alu32 = !is_alu64(insn);
  const u8 operation = op_of(insn.code);
  const bool same_reg = is_reg_source(insn.code) && insn.src == insn.dst;
  if ((operation != op::ADD && operation != op::SUB) || dst.id == 0 || same_reg || !src.is_const(alu32) ||
      (dst.id & id_add_const) != 0) {
    clear_id(dst);
    return;
  }
  const u64 value = src.const_value(alu32);
  const auto wide = static_cast<s64>(value);
  if (!alu32 && (wide < INT32_MIN || wide > INT32_MAX)) return clear_id(dst);
  s32 distance = static_cast<s32>(value);
  if (operation == op::SUB) {
    if (distance == INT32_MIN) return clear_id(dst);
    distance = -distance;
  }
  dst.id |= alu32 ? id_add_const32 : id_add_const64;
  dst.off = distance;
}

}  // namespace skep::verifier
