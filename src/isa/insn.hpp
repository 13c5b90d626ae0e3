// One instruction as it stands in an object file and in bpf(2): struct bpf_insn, RFC 9669 section 3.
#pragma once
#include <bit>

#include "base/types.hpp"

namespace skep::isa {

struct Insn {
  u8 code = 0;
  u8 dst : 4 = 0;
  u8 src : 4 = 0;
  s16 off = 0;
  s32 imm = 0;

  bool operator==(const Insn&) const = default;
};
static_assert(sizeof(Insn) == 8);

/// The instruction as one number, as memory has it: code, registers (dst in the low half), off, imm.
inline u64 number_of(const Insn& insn) { return std::bit_cast<u64>(insn); }
static_assert(std::endian::native == std::endian::little);
/// dst | src << 4
inline u8 registers_of(const Insn& insn) { return static_cast<u8>(number_of(insn) >> 8); }

// Opcode fields, RFC 9669 section 3 ff.; the kernel's names without BPF_.
namespace op {
// classes
inline constexpr u8 LD = 0, LDX = 1, ST = 2, STX = 3, ALU = 4, JMP = 5, JMP32 = 6, ALU64 = 7;
// sizes
inline constexpr u8 W = 0x00, H = 0x08, B = 0x10, DW = 0x18;
// modes
inline constexpr u8 IMM = 0x00, ABS = 0x20, IND = 0x40, MEM = 0x60, MEMSX = 0x80, ATOMIC = 0xc0;
inline constexpr u8 PROBE_MEM = 0x20, PROBE_MEMSX = 0x40;  // of LDX; only after the fixups
// source operand
inline constexpr u8 K = 0x00, X = 0x08;
// arithmetic
inline constexpr u8 ADD = 0x00, SUB = 0x10, MUL = 0x20, DIV = 0x30, OR = 0x40, AND = 0x50, LSH = 0x60,
                    RSH = 0x70, NEG = 0x80, MOD = 0x90, XOR = 0xa0, MOV = 0xb0, ARSH = 0xc0, END = 0xd0;
// jumps
inline constexpr u8 JA = 0x00, JEQ = 0x10, JGT = 0x20, JGE = 0x30, JSET = 0x40, JNE = 0x50, JSGT = 0x60,
                    JSGE = 0x70, CALL = 0x80, EXIT = 0x90, JLT = 0xa0, JLE = 0xb0, JSLT = 0xc0, JSLE = 0xd0,
                    JCOND = 0xe0, TAIL_CALL = 0xf0;  // the last only after the fixups
// atomic operations (imm)
inline constexpr s32 FETCH = 0x01, XCHG = 0xe1, CMPXCHG = 0xf1, LOAD_ACQ = 0x100, STORE_REL = 0x110;
}  // namespace op

inline constexpr u8 class_of(u8 code) { return code & 0x07; }
inline constexpr u8 size_of(u8 code) { return code & 0x18; }
inline constexpr u8 mode_of(u8 code) { return code & 0xe0; }
inline constexpr u8 op_of(u8 code) { return code & 0xf0; }
inline constexpr bool is_reg_source(u8 code) { return (code & 0x08) != 0; }
/// 1, 2, 4 or 8 for the size field of a load or store.
inline constexpr u32 bytes_of_size(u8 code) {
  switch (size_of(code)) {
    case op::B:
      return 1;
    case op::H:
      return 2;
    case op::W:
      return 4;
    default:
      return 8;
  }
}
/// ld_imm64 takes two slots.
inline constexpr bool is_ld_imm64(const Insn& insn) { return insn.code == (op::LD | op::IMM | op::DW); }

}  // namespace skep::isa
