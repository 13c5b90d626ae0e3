// The instructions that take the place of one, and short names to make them. Inside the room.
#pragma once
#include <array>
#include <initializer_list>

#include "base/result.hpp"
#include "isa/form.hpp"

namespace skep::fixup {

/// Jumps inside a patch are relative as usual; one to its very end is one past the patch's last instruction.
class Patch {
 public:
  Patch() = default;
  Patch(std::initializer_list<isa::Insn> insns) {
    for (const isa::Insn& insn : insns) add(insn);
  }
  void add(const isa::Insn& insn) {
    SKEP_ASSERT(count_ < insns_.size());
    insns_[count_++] = insn;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] u32 size() const { return count_; }
  [[nodiscard]] const isa::Insn* begin() const { return insns_.data(); }
  [[nodiscard]] const isa::Insn* end() const { return insns_.data() + count_; }

 private:
  std::array<isa::Insn, 16> insns_{};
  u32 count_ = 0;
};

/// The hidden register that only rewritten code uses (kernel: BPF_REG_AX).
inline constexpr u8 r_ax = 11;

inline isa::Insn load_u64(u8 dst, u8 src, s16 off) { return isa::encode(isa::Form::LDX_DW, dst, src, off); }
inline isa::Insn load_u32(u8 dst, u8 src, s16 off) { return isa::encode(isa::Form::LDX_W, dst, src, off); }
inline isa::Insn add_imm(u8 dst, s32 imm) { return isa::encode(isa::Form::ADD64_K, dst, 0, 0, imm); }
inline isa::Insn add_reg(u8 dst, u8 src) { return isa::encode(isa::Form::ADD64_X, dst, src); }
inline isa::Insn mov_imm(u8 dst, s32 imm) { return isa::encode(isa::Form::MOV64_K, dst, 0, 0, imm); }
inline isa::Insn mov32_reg(u8 dst, u8 src) { return isa::encode(isa::Form::MOV32_X, dst, src); }
inline isa::Insn percpu_address(u8 dst, u8 src) { return isa::encode(isa::Form::MOV_PERCPU, dst, src); }
inline isa::Insn jump(s16 off) { return isa::Insn{.code = isa::op::JMP | isa::op::JA, .off = off}; }
inline isa::Insn jump_if(u8 op, bool is64, u8 reg, s32 imm, s16 off) {
  return isa::Insn{.code = static_cast<u8>(op | (is64 ? isa::op::JMP : isa::op::JMP32)),
                   .dst = static_cast<u8>(reg & 0xf),
                   .off = off,
                   .imm = imm};
}
inline isa::Insn alu_imm(u8 op, bool is64, u8 dst, s32 imm) {
  return isa::Insn{.code = static_cast<u8>(op | (is64 ? isa::op::ALU64 : isa::op::ALU)),
                   .dst = static_cast<u8>(dst & 0xf),
                   .imm = imm};
}
inline std::array<isa::Insn, 2> load_address(u8 dst, const void* what) {
  const auto address = reinterpret_cast<u64>(what);
  return {isa::Insn{.code = isa::op::LD | isa::op::DW,
                    .dst = static_cast<u8>(dst & 0xf),
                    .imm = static_cast<s32>(address)},
          isa::Insn{.imm = static_cast<s32>(address >> 32)}};
}
inline isa::Insn call(s32 function) {
  return isa::Insn{.code = isa::op::JMP | isa::op::CALL, .imm = function};
}

}  // namespace skep::fixup
