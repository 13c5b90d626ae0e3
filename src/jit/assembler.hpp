// x86-64 instructions as bytes, each in its shortest form: what the emitter uses and no more. Encodings are
// those of the Intel manual, volume 2. Nothing here looks whether there is room: reserve() does, once for
// several instructions.
#pragma once
#include <cstring>

#include "base/result.hpp"
#include "jit/buffer.hpp"
#include "jit/x86.hpp"

namespace skep::jit {

/// A place in the code that a few jumps nearby go to, before or after it is known.
class Label {
 public:
  Label() = default;

 private:
  friend class Assembler;
  static constexpr u32 unbound = ~u32{0};
  struct Use {
    u32 end;  ///< of the displacement
    bool is_short;
  };
  u32 at_ = unbound;
  u32 count_ = 0;
  Use uses_[12];  ///< before at_ is known
};

class Assembler {
 public:
  using Gp = x86::Gp;
  using Mem = x86::Mem;
  using Cond = x86::Cond;

  explicit Assembler(Buffer<u8>& buffer) : buffer_(buffer), next_(buffer.data()) {}

  /// Room for `bytes` of instructions to come.
  void reserve(std::size_t bytes) {
    const std::size_t used = offset();
    if (used + bytes + slack <= buffer_.capacity()) return;
    Buffer<u8> larger;
    larger.resize(2 * (used + bytes + slack));
    if (used != 0) std::memcpy(larger.data(), buffer_.data(), used);
    buffer_ = std::move(larger);
    next_ = buffer_.data() + used;
  }
  [[nodiscard]] std::size_t offset() const { return static_cast<std::size_t>(next_ - buffer_.data()); }
  [[nodiscard]] u8* data() { return buffer_.data(); }
  [[nodiscard]] const u8* data() const { return buffer_.data(); }

  /// The low `count` bytes, at most 8, as they are.
  void bytes(u64 value, u32 count) {
    std::memcpy(next_, &value, sizeof value);
    next_ += count;
  }
  /// Up to a multiple of `bytes`, at most 32: instructions without effect, as few as possible.
  void align(u32 bytes) {
    static constexpr u8 nops[10][9] = {{},
                                       {0x90},
                                       {0x66, 0x90},
                                       {0x0f, 0x1f, 0x00},
                                       {0x0f, 0x1f, 0x40, 0x00},
                                       {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                       {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                       {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
                                       {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
                                       {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
    u32 left = -static_cast<u32>(offset()) % bytes;  // a power of two
    while (left != 0) {
      const u32 n = left < 9 ? left : 9;
      std::memcpy(next_, nops[n], n);
      next_ += n;
      left -= n;
    }
  }

  void add(Gp dst, Gp src) { two(0x01, src, dst); }
  void or_(Gp dst, Gp src) { two(0x09, src, dst); }
  void and_(Gp dst, Gp src) { two(0x21, src, dst); }
  void sub(Gp dst, Gp src) { two(0x29, src, dst); }
  void xor_(Gp dst, Gp src) { two(0x31, src, dst); }
  void cmp(Gp dst, Gp src) { two(0x39, src, dst); }
  void test(Gp a, Gp b) { two(0x85, b, a); }
  void xchg(Mem memory, Gp reg) { with_memory(0x87, reg, memory); }
  void add(Gp dst, s32 imm) { with_imm(0, dst, imm); }
  void or_(Gp dst, s32 imm) { with_imm(1, dst, imm); }
  void and_(Gp dst, s32 imm) { with_imm(4, dst, imm); }
  void sub(Gp dst, s32 imm) { with_imm(5, dst, imm); }
  void xor_(Gp dst, s32 imm) { with_imm(6, dst, imm); }
  void cmp(Gp dst, s32 imm) { with_imm(7, dst, imm); }
  void add(Gp dst, Mem from) { with_memory(0x03, dst, from); }
  void sub(Gp dst, Mem from) { with_memory(0x2b, dst, from); }
  void cmp(Gp dst, Mem from) { with_memory(0x3b, dst, from); }
  void cmp(Mem memory, s32 imm) { memory_with_imm(7, memory, imm); }
  void test(Gp a, s32 imm) {
    if (a.id() == 0) {
      if (a.is_wide()) byte(0x48);
      byte(0xa9);
    } else {
      one(0xf7, 0, a);
    }
    imm32(imm);
  }
  void imul(Gp dst, Gp src) { two_0f(0xaf, dst, src); }
  void imul(Gp dst, Gp src, s32 imm) {
    const bool small = imm == static_cast<s8>(imm);
    two(small ? 0x6b : 0x69, dst, src);
    small ? byte(static_cast<u8>(imm)) : imm32(imm);
  }
  void not_(Gp dst) { one(0xf7, 2, dst); }
  void neg(Gp dst) { one(0xf7, 3, dst); }
  void mul(Gp by) { one(0xf7, 4, by); }
  void div(Gp by) { one(0xf7, 6, by); }
  void idiv(Gp by) { one(0xf7, 7, by); }
  void inc(Gp dst) { one(0xff, 0, dst); }
  void inc(Mem memory) { with_memory(0xff, 0, memory.size, memory); }
  void dec(Mem memory) { with_memory(0xff, 1, memory.size, memory); }
  void cdq() { byte(0x99); }
  void cqo() { bytes(0x9948, 2); }

  void shl(Gp dst, u32 count) { shift(4, dst, count); }
  void shr(Gp dst, u32 count) { shift(5, dst, count); }
  void sar(Gp dst, u32 count) { shift(7, dst, count); }
  void rol(Gp dst, u32 count) {
    if (dst.size() == 2) byte(0x66);
    shift(0, dst, count);
  }
  /// By the register cl.
  void shl_cl(Gp dst) { one(0xd3, 4, dst); }
  void shr_cl(Gp dst) { one(0xd3, 5, dst); }
  void sar_cl(Gp dst) { one(0xd3, 7, dst); }
  // BMI2
  void shlx(Gp dst, Gp src, Gp count) { vex(2, 1, 0xf7, dst, src, count.id()); }
  void shrx(Gp dst, Gp src, Gp count) { vex(2, 3, 0xf7, dst, src, count.id()); }
  void sarx(Gp dst, Gp src, Gp count) { vex(2, 2, 0xf7, dst, src, count.id()); }
  void rorx(Gp dst, Gp src, u32 count) {
    vex(3, 3, 0xf0, dst, src, 0);
    byte(count);
  }
  void bswap(Gp dst) {
    const u32 rex = 0x40u | (dst.is_wide() ? 8u : 0u) | dst.id() >> 3;
    optional_rex(rex, 0x0fu | (0xc8u | (dst.id() & 7)) << 8, 2);
  }

  void mov(Gp dst, Gp src) { two(0x89, src, dst); }
  void mov(Gp dst, u32 value) { mov_low(dst, value); }
  void mov(Gp dst, s32 value) { mov_long(dst, s64{value}); }
  void mov(Gp dst, u64 value) { mov_long(dst, static_cast<s64>(value)); }
  void mov(Gp dst, s64 value) { mov_long(dst, value); }
  void mov(Gp dst, Mem from) { with_memory(0x8b, dst, from); }
  void mov(Mem to, Gp src) {
    const u32 size = src.size();
    if (size == 2) byte(0x66);
    with_memory(size == 1 ? 0x88 : 0x89, src.id(), size, to, size == 1 && src.id() >= 4);
  }
  void mov(Mem to, s32 imm) {
    if (to.size == 2) byte(0x66);
    with_memory(to.size == 1 ? 0xc6 : 0xc7, 0, to.size, to);
    if (to.size == 1)
      byte(static_cast<u8>(imm));
    else if (to.size == 2)
      bytes(static_cast<u16>(imm), 2);
    else
      imm32(imm);
  }
  void movzx(Gp dst, Mem from) { with_memory_0f(from.size == 2 ? 0xb7 : 0xb6, dst, from); }
  void movsx(Gp dst, Mem from) { with_memory_0f(from.size == 2 ? 0xbf : 0xbe, dst, from); }
  void movzx(Gp dst, Gp src) {
    two_0f(src.size() == 2 ? 0xb7 : 0xb6, dst, src, src.size() == 1 && src.id() >= 4);
  }
  void movsx(Gp dst, Gp src) {
    two_0f(src.size() == 2 ? 0xbf : 0xbe, dst, src, src.size() == 1 && src.id() >= 4);
  }
  void movsxd(Gp dst, Gp src) { two(0x63, dst, src); }
  void movsxd(Gp dst, Mem from) { with_memory(0x63, dst, from); }
  void movbe(Gp dst, Mem from) {
    rex_of(dst.id(), dst.size(), from, false);
    bytes(0xf0380f, 3);
    address(dst.id(), from);
  }
  void lea(Gp dst, Mem of) { with_memory(0x8d, dst, of); }
  void cmov(Cond condition, Gp dst, Gp src) { two_0f(0x40 | static_cast<u32>(condition), dst, src); }
  void set(Cond condition, Gp dst) {
    const u32 rex = 0x40u | dst.id() >> 3;
    const u32 code = 0x0fu | (0x90u | static_cast<u32>(condition)) << 8 | (0xc0u | (dst.id() & 7)) << 16;
    if (dst.id() >= 4)
      bytes(rex | code << 8, 4);
    else
      bytes(code, 3);
  }

  void push(Gp reg) { optional_rex(0x40u | reg.id() >> 3, 0x50u | (reg.id() & 7), 1); }
  void pop(Gp reg) { optional_rex(0x40u | reg.id() >> 3, 0x58u | (reg.id() & 7), 1); }
  void ret() { byte(0xc3); }
  void pause() { bytes(0x90f3, 2); }
  void lfence() { bytes(0xe8ae0f, 3); }
  void call(Gp target) { one(0xff, 2, target.r32()); }
  void jmp(Mem target) { with_memory(0xff, 4, 4, target); }

  void lock_add(Mem memory, Gp src) { locked(0x01, src, memory); }
  void lock_or(Mem memory, Gp src) { locked(0x09, src, memory); }
  void lock_and(Mem memory, Gp src) { locked(0x21, src, memory); }
  void lock_xor(Mem memory, Gp src) { locked(0x31, src, memory); }
  void lock_xadd(Mem memory, Gp src) { locked_0f(0xc1, src, memory); }
  void lock_cmpxchg(Mem memory, Gp src) { locked_0f(0xb1, src, memory); }

  void bind(Label& label) {
    SKEP_ASSERT(label.at_ == Label::unbound);
    label.at_ = static_cast<u32>(offset());
    for (u32 i = 0; i < label.count_; ++i) {
      const Label::Use& use = label.uses_[i];
      const s32 distance = static_cast<s32>(label.at_ - use.end);
      SKEP_ASSERT(!use.is_short || distance == static_cast<s8>(distance));
      std::memcpy(data() + use.end - (use.is_short ? 1 : 4), &distance, use.is_short ? 1 : 4);
    }
  }
  void short_jmp(Label& label) { to_label(0xeb, 1, label, true); }
  void short_j(Cond condition, Label& label) { to_label(0x70 | static_cast<u32>(condition), 1, label, true); }
  void jmp(Label& label) { to_label(0xe9, 1, label, false); }
  void call(Label& label) { to_label(0xe8, 1, label, false); }
  void j(Cond condition, Label& label) {
    to_label(0x0fu | (0x80u | static_cast<u32>(condition)) << 8, 2, label, false);
  }

 private:
  static constexpr std::size_t slack = 16;  ///< whole words are written beyond what counts

  void byte(u32 value) { *next_++ = static_cast<u8>(value); }
  void imm32(s32 value) { bytes(static_cast<u32>(value), 4); }

  /// Without the prefix where it says nothing.
  void optional_rex(u32 rex, u64 code, u32 size, bool always = false) {
    const u32 has = rex != 0x40 || always ? 1 : 0;
    bytes(has != 0 ? rex | code << 8 : code, size + has);
  }
  static u32 rex_bits(bool wide, u32 reg, u32 rm) {
    return 0x40u | (wide ? 8u : 0u) | (reg >> 3) << 2 | rm >> 3;
  }
  static u32 modrm(u32 reg, u32 rm) { return 0xc0u | (reg & 7) << 3 | (rm & 7); }

  /// An instruction of two registers; `sized` says whether it is of 64 bits.
  void two(u32 code, Gp reg, Gp rm) {
    optional_rex(rex_bits(reg.is_wide(), reg.id(), rm.id()), code | modrm(reg.id(), rm.id()) << 8, 2);
  }
  void two_0f(u32 code, Gp reg, Gp rm, bool always = false) {
    optional_rex(rex_bits(reg.is_wide(), reg.id(), rm.id()),
                 0x0fu | code << 8 | modrm(reg.id(), rm.id()) << 16, 3, always);
  }
  void one(u32 code, u32 operation, Gp rm) {
    optional_rex(rex_bits(rm.is_wide(), 0, rm.id()), code | modrm(operation, rm.id()) << 8, 2);
  }
  void with_imm(u32 operation, Gp dst, s32 imm) {
    const u32 rex = rex_bits(dst.is_wide(), 0, dst.id());
    if (imm == static_cast<s8>(imm)) {
      optional_rex(rex, 0x83u | modrm(operation, dst.id()) << 8 | u32{static_cast<u8>(imm)} << 16, 3);
    } else if (dst.id() == 0) {
      optional_rex(rex, operation << 3 | 5, 1);
      imm32(imm);
    } else {
      optional_rex(rex, 0x81u | modrm(operation, dst.id()) << 8, 2);
      imm32(imm);
    }
  }
  void memory_with_imm(u32 operation, Mem memory, s32 imm) {
    const bool small = imm == static_cast<s8>(imm);
    with_memory(small ? 0x83 : 0x81, operation, memory.size, memory);
    small ? byte(static_cast<u8>(imm)) : imm32(imm);
  }
  void shift(u32 operation, Gp dst, u32 count) {
    const u32 rex = rex_bits(dst.is_wide(), 0, dst.id());
    const u32 code = (count == 1 ? 0xd1u : 0xc1u) | modrm(operation, dst.id()) << 8 | count << 16;
    optional_rex(rex, code, count == 1 ? 2 : 3);
  }
  /// `map` 2: 0f38, 3: 0f3a; `prefix` 1: 66, 2: f3, 3: f2.
  void vex(u32 map, u32 prefix, u32 code, Gp reg, Gp rm, u32 second) {
    const u32 r = reg.id() >> 3 ^ 1, b = rm.id() >> 3 ^ 1;
    bytes(0xc4u | (r << 7 | 1u << 6 | b << 5 | map) << 8, 2);
    bytes(((reg.is_wide() ? 0x80u : 0u) | (~second & 15) << 3 | prefix) | code << 8 |
              modrm(reg.id(), rm.id()) << 16,
          3);
  }

  void rex_of(u32 reg, u32 size, const Mem& memory, bool always) {
    const u32 index = memory.has_index() ? memory.index : 0;
    const u32 rex =
        0x40u | (size == 8 ? 8u : 0u) | (reg >> 3) << 2 | (index >> 3) << 1 | u32{memory.base} >> 3;
    *next_ = static_cast<u8>(rex);
    next_ += rex != 0x40 || always ? 1 : 0;
  }
  void address(u32 reg, const Mem& memory) {
    const u32 base = memory.base & 7u;
    const u32 mode = memory.offset == 0 && base != 5                   ? 0
                     : memory.offset == static_cast<s8>(memory.offset) ? 1
                                                                       : 2;
    if (memory.has_index() || base == 4) {
      const u32 index = memory.has_index() ? memory.index & 7u : 4u;
      bytes((mode << 6 | (reg & 7) << 3 | 4) | (u32{memory.shift} << 6 | index << 3 | base) << 8, 2);
    } else {
      byte(mode << 6 | (reg & 7) << 3 | base);
    }
    static constexpr u8 sizes[] = {0, 1, 4};
    bytes(static_cast<u32>(memory.offset), sizes[mode]);
  }
  void with_memory(u32 code, u32 reg, u32 size, const Mem& memory, bool always = false) {
    rex_of(reg, size, memory, always);
    byte(code);
    address(reg, memory);
  }
  void with_memory(u32 code, Gp reg, const Mem& memory) { with_memory(code, reg.id(), reg.size(), memory); }
  void with_memory_0f(u32 code, Gp reg, const Mem& memory) {
    rex_of(reg.id(), reg.size(), memory, false);
    bytes(0x0fu | code << 8, 2);
    address(reg.id(), memory);
  }
  void locked(u32 code, Gp reg, const Mem& memory) {
    byte(0xf0);
    with_memory(code, reg, memory);
  }
  void locked_0f(u32 code, Gp reg, const Mem& memory) {
    byte(0xf0);
    with_memory_0f(code, reg, memory);
  }

  void mov_low(Gp dst, u32 value) {
    optional_rex(0x40u | dst.id() >> 3, (0xb8u | (dst.id() & 7)) | u64{value} << 8, 5);
  }
  void mov_long(Gp dst, s64 value) {
    if (!dst.is_wide() || value == static_cast<u32>(value)) return mov_low(dst, static_cast<u32>(value));
    const u32 rex = 0x48u | dst.id() >> 3;
    if (value == static_cast<s32>(value)) {
      bytes(rex | 0xc7u << 8 | modrm(0, dst.id()) << 16 | u64{static_cast<u32>(value)} << 24, 7);
    } else {
      bytes(rex | (0xb8u | (dst.id() & 7)) << 8, 2);
      bytes(static_cast<u64>(value), 8);
    }
  }

  void to_label(u32 code, u32 size, Label& label, bool is_short) {
    bytes(code, size);
    const u32 end = static_cast<u32>(offset()) + (is_short ? 1 : 4);
    if (label.at_ == Label::unbound) {
      SKEP_ASSERT(label.count_ < std::size(label.uses_));
      label.uses_[label.count_++] = {end, is_short};
      bytes(0, is_short ? 1 : 4);
      return;
    }
    const s32 distance = static_cast<s32>(label.at_ - end);
    SKEP_ASSERT(!is_short || distance == static_cast<s8>(distance));
    bytes(static_cast<u32>(distance), is_short ? 1 : 4);
  }

  Buffer<u8>& buffer_;
  u8* next_;
};

}  // namespace skep::jit
