// Operands of x86-64 instructions: registers, memory, conditions. Plain values of a few bytes.
#pragma once
#include "base/types.hpp"

namespace skep::jit::x86 {

/// A general register, as so many of its low bytes.
class Gp {
 public:
  constexpr Gp(u8 id, u8 size) : id_(id), size_(size) {}
  [[nodiscard]] constexpr u32 id() const { return id_; }
  [[nodiscard]] constexpr u32 size() const { return size_; }
  [[nodiscard]] constexpr bool is_wide() const { return size_ == 8; }
  [[nodiscard]] constexpr Gp r8() const { return {id_, 1}; }
  [[nodiscard]] constexpr Gp r16() const { return {id_, 2}; }
  [[nodiscard]] constexpr Gp r32() const { return {id_, 4}; }
  [[nodiscard]] constexpr Gp r64() const { return {id_, 8}; }

 private:
  u8 id_, size_;
};
constexpr Gp gpq(u8 id) { return {id, 8}; }

inline constexpr Gp rax{0, 8}, rcx{1, 8}, rdx{2, 8}, rbx{3, 8}, rsp{4, 8}, rbp{5, 8}, rsi{6, 8}, rdi{7, 8};
inline constexpr Gp r8{8, 8}, r9{9, 8}, r10{10, 8}, r11{11, 8}, r12{12, 8}, r13{13, 8}, r14{14, 8},
    r15{15, 8};
inline constexpr Gp eax{0, 4}, ecx{1, 4}, edx{2, 4};

/// base + index * 2^shift + offset. `size` is that of the access, where the other operand does not say it.
struct Mem {
  static constexpr u8 none = 0xff;
  s32 offset = 0;
  u8 base = 0, index = none, shift = 0, size = 0;
  [[nodiscard]] constexpr bool has_index() const { return index != none; }
};
constexpr Mem ptr(Gp base, s32 offset = 0, u32 size = 0) {
  return {offset, static_cast<u8>(base.id()), Mem::none, 0, static_cast<u8>(size)};
}
constexpr Mem ptr(Gp base, Gp index, u32 shift, s32 offset = 0, u32 size = 0) {
  return {offset, static_cast<u8>(base.id()), static_cast<u8>(index.id()), static_cast<u8>(shift),
          static_cast<u8>(size)};
}
constexpr Mem qword_ptr(Gp base, s32 offset = 0) { return ptr(base, offset, 8); }
constexpr Mem qword_ptr(Gp base, Gp index, u32 shift, s32 offset = 0) {
  return ptr(base, index, shift, offset, 8);
}
constexpr Mem dword_ptr(Gp base, s32 offset = 0) { return ptr(base, offset, 4); }
constexpr Mem dword_ptr(Gp base, Gp index, u32 shift, s32 offset = 0) {
  return ptr(base, index, shift, offset, 4);
}

/// As the low four bits of jcc, setcc and cmovcc have them.
enum class Cond : u8 { o, no, b, ae, e, ne, be, a, s, ns, p, np, l, ge, le, g };
constexpr Cond negate(Cond condition) { return static_cast<Cond>(static_cast<u8>(condition) ^ 1); }

}  // namespace skep::jit::x86
