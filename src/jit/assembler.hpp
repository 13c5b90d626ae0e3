// asmjit's assembler with the forms that programs consist of encoded on the spot: asmjit's general way from
// an instruction's number and operands to bytes takes several times as long. What is not here, with prefixes
// or with labels, is asmjit's. Encodings are those of the Intel manual, volume 2; each is the shortest one.
#pragma once
#include <asmjit/x86.h>

#include <cstring>

#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::jit {

class Assembler : public asmjit::x86::Assembler {
 public:
  using Base = asmjit::x86::Assembler;
  using Gp = asmjit::x86::Gp;
  using Mem = asmjit::x86::Mem;

  /// To be called after the last instruction: asmjit knows then how long the code is.
  void finish() {
    if (offset() > _section->_buffer._size) _section->_buffer._size = offset();
  }
  /// `size` bytes as they are, at most 16.
  void raw(const u8* bytes, u32 size) {
    if (remainingSpace() < longest) {
      Base::embed(bytes, size);
      return;
    }
    std::memcpy(_bufferPtr, bytes, size);
    _bufferPtr += size;
  }
  /// As raw(), of a size that is known here.
  template <u32 size>
  void raw(const u8 (&bytes)[size]) {
    raw(bytes, size);
  }

  using Base::add, Base::or_, Base::and_, Base::sub, Base::xor_, Base::cmp;
  void add(const Gp& dst, const Gp& src) { two(Op::add, dst, src); }
  void or_(const Gp& dst, const Gp& src) { two(Op::or_, dst, src); }
  void and_(const Gp& dst, const Gp& src) { two(Op::and_, dst, src); }
  void sub(const Gp& dst, const Gp& src) { two(Op::sub, dst, src); }
  void xor_(const Gp& dst, const Gp& src) { two(Op::xor_, dst, src); }
  void cmp(const Gp& dst, const Gp& src) { two(Op::cmp, dst, src); }
  void add(const Gp& dst, s32 imm) { with_imm(Op::add, dst, imm); }
  void or_(const Gp& dst, s32 imm) { with_imm(Op::or_, dst, imm); }
  void and_(const Gp& dst, s32 imm) { with_imm(Op::and_, dst, imm); }
  void sub(const Gp& dst, s32 imm) { with_imm(Op::sub, dst, imm); }
  void xor_(const Gp& dst, s32 imm) { with_imm(Op::xor_, dst, imm); }
  void cmp(const Gp& dst, s32 imm) { with_imm(Op::cmp, dst, imm); }

  using Base::imul, Base::test;
  void imul(const Gp& dst, const Gp& src) {
    Code code(*this);
    code.rex(dst.isGpq(), dst.id(), 0, src.id());
    code.byte(0x0f);
    code.byte(0xaf);
    code.registers(dst.id(), src.id());
  }
  void test(const Gp& a, const Gp& b) {
    Code code(*this);
    code.rex(a.isGpq(), b.id(), 0, a.id());
    code.byte(0x85);
    code.registers(b.id(), a.id());
  }

  using Base::shl, Base::shr, Base::sar;
  void shl(const Gp& dst, u32 count) { shift(4, dst, count); }
  void shr(const Gp& dst, u32 count) { shift(5, dst, count); }
  void sar(const Gp& dst, u32 count) { shift(7, dst, count); }

  using Base::mov;
  void mov(const Gp& dst, const Gp& src) {
    Code code(*this);
    code.rex(dst.isGpq(), src.id(), 0, dst.id());
    code.byte(0x89);
    code.registers(src.id(), dst.id());
  }
  void mov(const Gp& dst, u32 value) { mov_low(dst, value); }
  void mov(const Gp& dst, s32 value) { mov_long(dst, s64{value}); }
  void mov(const Gp& dst, u64 value) { mov_long(dst, static_cast<s64>(value)); }
  void mov(const Gp& dst, s64 value) { mov_long(dst, value); }
  void mov(const Gp& dst, const Mem& from) {
    if (!is_plain(from) || dst.size() < 4) {
      Base::mov(dst, from);
      return;
    }
    Code code(*this);
    code.rex(dst.isGpq(), dst.id(), from);
    code.byte(0x8b);
    code.memory(dst.id(), from);
  }
  void mov(const Mem& to, const Gp& src) {
    if (!is_plain(to)) {
      Base::mov(to, src);
      return;
    }
    Code code(*this);
    const u32 size = src.size();
    if (size == 2) code.byte(0x66);
    code.rex(size == 8, src.id(), to, size == 1 && src.id() >= 4);
    code.byte(size == 1 ? 0x88 : 0x89);
    code.memory(src.id(), to);
  }

  using Base::movzx, Base::movsx, Base::movsxd;
  void movzx(const Gp& dst, const Mem& from) { extend(0xb6, dst, from); }
  void movzx(const Gp& dst, const Gp& src) { extend(0xb6, dst, src); }
  void movsx(const Gp& dst, const Mem& from) { extend(0xbe, dst, from); }
  void movsx(const Gp& dst, const Gp& src) { extend(0xbe, dst, src); }

  using Base::lea;
  void lea(const Gp& dst, const Mem& of) {
    if (!is_plain(of)) {
      Base::lea(dst, of);
      return;
    }
    Code code(*this);
    code.rex(dst.isGpq(), dst.id(), of);
    code.byte(0x8d);
    code.memory(dst.id(), of);
  }

  using Base::push, Base::pop, Base::ret;
  void push(const Gp& reg) { stack(0x50, reg); }
  void pop(const Gp& reg) { stack(0x58, reg); }
  void ret() {
    Code code(*this);
    code.byte(0xc3);
  }

 private:
  static constexpr u32 longest = 16;  ///< more than any instruction takes
  enum class Op : u8 { add = 0, or_ = 1, and_ = 4, sub = 5, xor_ = 6, cmp = 7 };

  /// The bytes of one instruction, written where the buffer goes on.
  class Code {
   public:
    explicit Code(Assembler& owner)
        : owner_(owner), fits_(owner.remainingSpace() >= longest || owner.grow()) {
      at_ = fits_ ? owner._bufferPtr : owner.nowhere_;
    }
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    ~Code() {
      if (fits_) owner_._bufferPtr = at_;
    }

    void byte(u32 value) { *at_++ = static_cast<u8>(value); }
    void imm32(s32 value) {
      std::memcpy(at_, &value, sizeof value);
      at_ += sizeof value;
    }
    void imm64(s64 value) {
      std::memcpy(at_, &value, sizeof value);
      at_ += sizeof value;
    }
    /// The prefix with the fourth bits of the registers, where one is needed.
    void rex(bool wide, u32 reg, u32 index, u32 base, bool always = false) {
      const u32 value =
          0x40u | (wide ? 8u : 0u) | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);
      *at_ = static_cast<u8>(value);
      at_ += value != 0x40 || always ? 1 : 0;
    }
    void rex(bool wide, u32 reg, const Mem& memory, bool always = false) {
      rex(wide, reg, memory.hasIndex() ? memory.indexId() : 0, memory.baseId(), always);
    }
    void registers(u32 reg, u32 rm) { byte(0xc0u | (reg & 7) << 3 | (rm & 7)); }
    void memory(u32 reg, const Mem& memory) {
      const u32 base = memory.baseId() & 7;
      const s32 offset = memory.offsetLo32();
      const bool has_sib = memory.hasIndex() || base == 4;
      const u32 mode = offset == 0 && base != 5 ? 0 : offset == static_cast<s8>(offset) ? 1 : 2;
      byte(mode << 6 | (reg & 7) << 3 | (has_sib ? 4 : base));
      if (has_sib) byte(memory.shift() << 6 | (memory.hasIndex() ? memory.indexId() & 7 : 4u) << 3 | base);
      if (mode == 1)
        byte(static_cast<u8>(offset));
      else if (mode == 2)
        imm32(offset);
    }

   private:
    Assembler& owner_;
    bool fits_;
    u8* at_;
  };

  /// Makes room for an instruction; false: out of memory, which asmjit reports to the error handler.
  bool grow() {
    const u8 room[longest] = {};
    if (Base::embed(room, longest) != asmjit::kErrorOk) return false;
    _bufferPtr -= longest;
    return true;
  }
  u8 nowhere_[longest];  ///< where instructions go when there is no memory for them

  static bool is_plain(const Mem& memory) {
    return memory.hasBaseReg() && !memory.hasSegment() && (!memory.hasIndex() || memory.hasIndexReg());
  }

  void two(Op op, const Gp& dst, const Gp& src) {
    Code code(*this);
    code.rex(dst.isGpq(), src.id(), 0, dst.id());
    code.byte(static_cast<u32>(op) << 3 | 1);
    code.registers(src.id(), dst.id());
  }
  void with_imm(Op op, const Gp& dst, s32 imm) {
    Code code(*this);
    code.rex(dst.isGpq(), 0, 0, dst.id());
    if (imm == static_cast<s8>(imm)) {
      code.byte(0x83);
      code.registers(static_cast<u32>(op), dst.id());
      code.byte(static_cast<u8>(imm));
    } else if (dst.id() == 0) {
      code.byte(static_cast<u32>(op) << 3 | 5);
      code.imm32(imm);
    } else {
      code.byte(0x81);
      code.registers(static_cast<u32>(op), dst.id());
      code.imm32(imm);
    }
  }
  void shift(u32 op, const Gp& dst, u32 count) {
    Code code(*this);
    code.rex(dst.isGpq(), 0, 0, dst.id());
    code.byte(count == 1 ? 0xd1 : 0xc1);
    code.registers(op, dst.id());
    if (count != 1) code.byte(count);
  }
  void mov_low(const Gp& dst, u32 value) {
    Code code(*this);
    code.rex(false, 0, 0, dst.id());
    code.byte(0xb8 | (dst.id() & 7));
    code.imm32(static_cast<s32>(value));
  }
  void mov_long(const Gp& dst, s64 value) {
    if (!dst.isGpq() || value == static_cast<u32>(value)) {
      mov_low(dst, static_cast<u32>(value));
      return;
    }
    Code code(*this);
    code.rex(true, 0, 0, dst.id());
    if (value == static_cast<s32>(value)) {
      code.byte(0xc7);
      code.registers(0, dst.id());
      code.imm32(static_cast<s32>(value));
    } else {
      code.byte(0xb8 | (dst.id() & 7));
      code.imm64(value);
    }
  }
  /// Of a byte or, `operation` + 1, of two.
  void extend(u32 operation, const Gp& dst, const Mem& from) {
    SKEP_ASSERT(is_plain(from) && from.size() <= 2);
    Code code(*this);
    code.rex(dst.isGpq(), dst.id(), from);
    code.byte(0x0f);
    code.byte(operation + (from.size() == 2 ? 1 : 0));
    code.memory(dst.id(), from);
  }
  void extend(u32 operation, const Gp& dst, const Gp& src) {
    Code code(*this);
    code.rex(dst.isGpq(), dst.id(), 0, src.id(), src.size() == 1 && src.id() >= 4);
    code.byte(0x0f);
    code.byte(operation + (src.size() == 2 ? 1 : 0));
    code.registers(dst.id(), src.id());
  }
  void stack(u32 operation, const Gp& reg) {
    Code code(*this);
    code.rex(false, 0, 0, reg.id());
    code.byte(operation | (reg.id() & 7));
  }
};

}  // namespace skep::jit
