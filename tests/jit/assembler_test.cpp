// The assembler's bytes against asmjit's, over registers, sizes, offsets and constants.
#include "jit/assembler.hpp"

#include <asmjit/x86.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

namespace skep::jit::testing {
namespace {

namespace theirs = asmjit::x86;

/// One instruction by both.
class Both {
 public:
  Both() : ours(buffer_) {
    holder_.init(asmjit::Environment(asmjit::Arch::kX64));
    holder_.attach(&other);
    ours.reserve(64);
  }
  std::string difference() {
    const auto& text = holder_.textSection()->buffer();
    const std::string want(reinterpret_cast<const char*>(text.data()), text.size());
    const std::string got(reinterpret_cast<const char*>(ours.data()), ours.offset());
    if (got == want) return {};
    return "ours " + hex(got) + ", asmjit's " + hex(want);
  }
  Buffer<u8> buffer_;
  Assembler ours;
  asmjit::CodeHolder holder_;
  theirs::Assembler other;

 private:
  static std::string hex(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) text += fmt::format("{:02x} ", static_cast<u8>(byte));
    return text;
  }
};

theirs::Gp their(x86::Gp reg) {
  switch (reg.size()) {
    case 1:
      return theirs::gpb(reg.id());
    case 2:
      return theirs::gpw(reg.id());
    case 4:
      return theirs::gpd(reg.id());
    default:
      return theirs::gpq(reg.id());
  }
}
theirs::Mem their(x86::Mem m) {
  const auto base = theirs::gpq(m.base);
  return m.has_index() ? theirs::ptr(base, theirs::gpq(m.index), m.shift, m.offset, m.size)
                       : theirs::ptr(base, m.offset, m.size);
}

struct Random {
  std::mt19937_64 engine{20261128};
  u64 below(u64 n) { return engine() % n; }
  x86::Gp reg(u8 size) {
    const u8 id = static_cast<u8>(below(16));
    return {id == 4 ? u8{11} : id, size};  // never the stack pointer
  }
  u8 wide() { return below(2) != 0 ? 8 : 4; }
  s32 number() {
    static constexpr s32 some[] = {0, 1, -1, 127, 128, -128, -129, 255, 65535, 1 << 20, INT32_MAX, INT32_MIN};
    return below(3) == 0 ? static_cast<s32>(engine()) : some[below(std::size(some))];
  }
  x86::Mem memory(u32 size) {
    const x86::Gp base(static_cast<u8>(below(16)), 8);
    return below(2) != 0 ? x86::ptr(base, number(), size)
                         : x86::ptr(base, reg(8), static_cast<u32>(below(4)), number(), size);
  }
};

#define SAME(our_call, their_call)                                       \
  do {                                                                   \
    Both both;                                                           \
    both.ours.our_call;                                                  \
    both.other.their_call;                                               \
    ASSERT_EQ(both.difference(), "") << #our_call << " round " << round; \
  } while (0)

constexpr u32 rounds = 3000;

TEST(AssemblerBytes, TwoRegisters) {
  Random random;
  for (u32 round = 0; round < rounds; ++round) {
    const u8 size = random.wide();
    const x86::Gp a = random.reg(size), b = random.reg(size), c = random.reg(size);
    const theirs::Gp ta = their(a), tb = their(b), tc = their(c);
    SAME(add(a, b), add(ta, tb));
    SAME(or_(a, b), or_(ta, tb));
    SAME(and_(a, b), and_(ta, tb));
    SAME(sub(a, b), sub(ta, tb));
    SAME(xor_(a, b), xor_(ta, tb));
    SAME(cmp(a, b), cmp(ta, tb));
    SAME(test(a, b), test(ta, tb));
    SAME(mov(a, b), mov(ta, tb));
    SAME(imul(a, b), imul(ta, tb));
    SAME(shlx(a, b, c), shlx(ta, tb, tc));
    SAME(shrx(a, b, c), shrx(ta, tb, tc));
    SAME(sarx(a, b, c), sarx(ta, tb, tc));
    SAME(movzx(a.r32(), b.r8()), movzx(ta.r32(), tb.r8()));
    SAME(movzx(a.r32(), b.r16()), movzx(ta.r32(), tb.r16()));
    SAME(movsx(a, b.r8()), movsx(ta, tb.r8()));
    SAME(movsx(a, b.r16()), movsx(ta, tb.r16()));
    SAME(movsxd(a.r64(), b.r32()), movsxd(ta.r64(), tb.r32()));
    const u32 condition = static_cast<u32>(random.below(16));
    static constexpr theirs::CondCode conditions[] = {
        theirs::CondCode::kO, theirs::CondCode::kNO, theirs::CondCode::kB,  theirs::CondCode::kAE,
        theirs::CondCode::kE, theirs::CondCode::kNE, theirs::CondCode::kBE, theirs::CondCode::kA,
        theirs::CondCode::kS, theirs::CondCode::kNS, theirs::CondCode::kPE, theirs::CondCode::kPO,
        theirs::CondCode::kL, theirs::CondCode::kGE, theirs::CondCode::kLE, theirs::CondCode::kG};
    SAME(cmov(static_cast<x86::Cond>(condition), a, b), cmov(conditions[condition], ta, tb));
    SAME(set(static_cast<x86::Cond>(condition), a), set(conditions[condition], ta.r8()));
  }
}

TEST(AssemblerBytes, OneRegister) {
  Random random;
  for (u32 round = 0; round < rounds; ++round) {
    const x86::Gp a = random.reg(random.wide());
    const theirs::Gp ta = their(a);
    SAME(not_(a), not_(ta));
    SAME(neg(a), neg(ta));
    SAME(mul(a), mul(ta));
    SAME(div(a), div(ta));
    SAME(idiv(a), idiv(ta));
    SAME(inc(a), inc(ta));
    SAME(bswap(a), bswap(ta));
    SAME(push(a.r64()), push(ta.r64()));
    SAME(pop(a.r64()), pop(ta.r64()));
    SAME(call(a.r64()), call(ta.r64()));
    SAME(shl_cl(a), shl(ta, theirs::cl));
    SAME(shr_cl(a), shr(ta, theirs::cl));
    SAME(sar_cl(a), sar(ta, theirs::cl));
    const u32 count = 1 + static_cast<u32>(random.below(31));
    SAME(shl(a, count), shl(ta, count));
    SAME(shr(a, count), shr(ta, count));
    SAME(sar(a, count), sar(ta, count));
    SAME(rol(a, count), rol(ta, count));
    SAME(rol(a.r16(), 8), rol(ta.r16(), 8));
    SAME(rorx(a, a.is_wide() ? x86::rdi : x86::rdi.r32(), count),
         rorx(ta, their(a.is_wide() ? x86::rdi : x86::rdi.r32()), count));
  }
  const u32 round = 0;
  SAME(cdq(), cdq());
  SAME(cqo(), cqo());
  SAME(pause(), pause());
  SAME(lfence(), lfence());
  SAME(ret(), ret());
}

TEST(AssemblerBytes, Constants) {
  Random random;
  for (u32 round = 0; round < rounds; ++round) {
    const x86::Gp a = random.reg(random.wide()), b = random.reg(static_cast<u8>(a.size()));
    const theirs::Gp ta = their(a), tb = their(b);
    const s32 imm = random.number();
    SAME(add(a, imm), add(ta, imm));
    SAME(or_(a, imm), or_(ta, imm));
    SAME(and_(a, imm), and_(ta, imm));
    SAME(sub(a, imm), sub(ta, imm));
    SAME(xor_(a, imm), xor_(ta, imm));
    SAME(cmp(a, imm), cmp(ta, imm));
    SAME(test(a, imm), test(ta, imm));
    SAME(imul(a, b, imm), imul(ta, tb, imm));
    SAME(mov(a.r32(), static_cast<u32>(imm)), mov(ta.r32(), static_cast<u32>(imm)));
    const u64 wide = random.below(2) != 0 ? static_cast<u64>(s64{imm}) : random.engine();
    if (wide > 0xffffffff) {
      SAME(mov(a.r64(), wide), mov(ta.r64(), wide));
    }
  }
}

TEST(AssemblerBytes, Memory) {
  Random random;
  for (u32 round = 0; round < rounds; ++round) {
    const u8 size = random.wide();
    const x86::Gp a = random.reg(size);
    const theirs::Gp ta = their(a);
    const x86::Mem m = random.memory(size), narrow = random.memory(1 + static_cast<u32>(random.below(2)));
    const theirs::Mem tm = their(m), tnarrow = their(narrow);
    const s32 imm = random.number();
    SAME(mov(a, m), mov(ta, tm));
    SAME(add(a, m), add(ta, tm));
    SAME(sub(a, m), sub(ta, tm));
    SAME(cmp(a, m), cmp(ta, tm));
    SAME(lea(a, m), lea(ta, tm));
    SAME(movbe(a, m), movbe(ta, tm));
    SAME(movzx(a.r32(), narrow), movzx(ta.r32(), tnarrow));
    SAME(movsx(a, narrow), movsx(ta, tnarrow));
    const x86::Mem half = x86::dword_ptr(x86::gpq(m.base), m.offset);
    SAME(movsxd(a.r64(), half), movsxd(ta.r64(), their(half)));
    for (const u8 bytes : {u8{1}, u8{2}, u8{4}, u8{8}}) {
      const x86::Gp from(static_cast<u8>(a.id()), bytes);
      const x86::Mem to{m.offset, m.base, m.index, m.shift, bytes};
      SAME(mov(to, from), mov(their(to), their(from)));
      const s32 value = bytes == 1 ? static_cast<s8>(imm) : bytes == 2 ? static_cast<s16>(imm) : imm;
      SAME(mov(to, value), mov(their(to), value));
    }
    SAME(cmp(m, imm), cmp(tm, imm));
    SAME(inc(m), inc(tm));
    SAME(dec(m), dec(tm));
    SAME(xchg(m, a), xchg(tm, ta));
    SAME(lock_add(m, a), lock().add(tm, ta));
    SAME(lock_or(m, a), lock().or_(tm, ta));
    SAME(lock_and(m, a), lock().and_(tm, ta));
    SAME(lock_xor(m, a), lock().xor_(tm, ta));
    SAME(lock_xadd(m, a), lock().xadd(tm, ta));
    SAME(lock_cmpxchg(m, a), lock().cmpxchg(tm, ta));
    const x86::Mem pointer{m.offset, m.base, m.index, m.shift, 8};
    SAME(jmp(pointer), jmp(their(pointer)));
  }
}

}  // namespace
}  // namespace skep::jit::testing
