// Soundness by exhaustion over small windows of numbers, placed where widths and signs meet: whatever two
// concrete numbers give, the abstract result contains it.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <random>
#include <vector>

#include "isa/semantics.hpp"
#include "verifier/domain/ranges.hpp"
#include "verifier/domain/scalar.hpp"

namespace skep::verifier {
namespace {

using namespace isa::op;

/// All tnums of `bits` bits at bit `shift`, over `background` in the other bits.
std::vector<Tnum> tnums(u32 bits, u32 shift, u64 background) {
  std::vector<Tnum> out;
  for (u64 mask = 0; mask < u64{1} << bits; ++mask) {
    for (u64 value = 0; value < u64{1} << bits; ++value) {
      if ((value & mask) == 0) out.push_back({(value << shift) | background, mask << shift});
    }
  }
  return out;
}
/// Every number of a tnum.
void each(Tnum t, const std::function<void(u64)>& f) {
  u64 part = 0;
  do {
    f(t.value | part);
    part = (part - t.mask) & t.mask;
  } while (part != 0);
}

struct Window {
  u32 shift;
  u64 background;
};
constexpr Window windows[] = {{0, 0}, {0, ~u64{7}}, {30, 0}, {30, 0x3fffffff}, {61, 0}, {61, ~u64{0} >> 3}};

TEST(TnumSoundness, ArithmeticContainsEveryConcreteResult) {
  struct Op {
    const char* name;
    Tnum (*abstract)(Tnum, Tnum);
    u64 (*concrete)(u64, u64);
  };
  static constexpr Op ops[] = {{"add", tnum_add, [](u64 a, u64 b) { return a + b; }},
                               {"sub", tnum_sub, [](u64 a, u64 b) { return a - b; }},
                               {"and", tnum_and, [](u64 a, u64 b) { return a & b; }},
                               {"or", tnum_or, [](u64 a, u64 b) { return a | b; }},
                               {"xor", tnum_xor, [](u64 a, u64 b) { return a ^ b; }},
                               {"mul", tnum_mul, [](u64 a, u64 b) { return a * b; }}};
  for (const Window w : windows) {
    const auto all = tnums(3, w.shift, w.background);
    for (const Tnum a : all) {
      for (const Tnum b : all) {
        for (const Op& op : ops) {
          const Tnum r = op.abstract(a, b);
          ASSERT_EQ(r.value & r.mask, 0u);
          bool ok = true;
          each(a, [&](u64 x) { each(b, [&](u64 y) { ok &= r.contains(op.concrete(x, y)); }); });
          ASSERT_TRUE(ok) << op.name << ' ' << tnum_text(a) << ' ' << tnum_text(b);
        }
      }
    }
  }
}

TEST(TnumSoundness, SetOperationsMeanWhatTheySay) {
  const auto all = tnums(3, 0, 0);
  for (const Tnum a : all) {
    for (const Tnum b : all) {
      bool overlap = false, subset = true;
      for (u64 v = 0; v < 8; ++v) {
        const bool in_a = a.contains(v), in_b = b.contains(v);
        overlap |= in_a && in_b;
        subset &= in_a || !in_b;
        EXPECT_TRUE(tnum_union(a, b).contains(v) || !(in_a || in_b));
        EXPECT_TRUE(tnum_intersect(a, b).contains(v) || !(in_a && in_b));
      }
      EXPECT_EQ(tnum_overlap(a, b), overlap);
      EXPECT_EQ(tnum_in(a, b), subset);
    }
    for (u64 v = 0; v < 8; ++v) {
      u64 above = a.value | a.mask;
      for (u64 w = 8; w-- > v + 1;) {
        if (a.contains(w)) above = w;
      }
      EXPECT_EQ(tnum_step(a, v), above) << tnum_text(a) << " from " << v;
    }
  }
}

TEST(TnumSoundness, ARangesTnumContainsTheRange) {
  for (u64 min = 0; min < 40; ++min) {
    for (u64 max = min; max < 40; ++max) {
      for (u64 v = min; v <= max; ++v) ASSERT_TRUE(tnum_range(min, max).contains(v));
    }
  }
  EXPECT_TRUE(tnum_range(0, ~u64{0}).is_unknown());
}

/// A scalar and every number it stands for.
struct Sample {
  Scalar scalar;
  std::vector<u64> values;
};

/// Ranges of up to `width` numbers about the places where signs and halves change, learnt as 64-bit signed,
/// as 64-bit unsigned or as 32-bit ranges.
std::vector<Sample> samples(u32 width) {
  constexpr u64 bases[] = {
      0, ~u64{0} - 1, 0x7fffffff - 1, 0xffffffff - 1, 0x100000000 + 0x7fffffff, u64{1} << 63, 30, 62};
  std::vector<Sample> out;
  for (const u64 base : bases) {
    for (u32 from = 0; from < width; ++from) {
      for (u32 to = from; to < width; ++to) {
        Sample s;
        for (u32 i = from; i <= to; ++i) s.values.push_back(base + i);
        const u64 first = s.values.front(), last = s.values.back();
        if (static_cast<s64>(first) <= static_cast<s64>(last)) {
          s.scalar = Scalar::in_range(static_cast<s64>(first), static_cast<s64>(last));
        } else {
          s.scalar.umin = first;
          s.scalar.umax = last;
          sync_bounds(s.scalar);
        }
        out.push_back(s);
      }
    }
  }
  // Only bits known, and only a low half known.
  for (const Tnum t : tnums(2, 31, 0)) {
    Sample s;
    s.scalar.var_off = t;
    sync_bounds(s.scalar);
    each(t, [&](u64 v) { s.values.push_back(v); });
    out.push_back(s);
  }
  Sample low;
  low.scalar.smin32 = -2;
  low.scalar.smax32 = 1;
  sync_bounds(low.scalar);
  for (const u64 high : {u64{0}, u64{1} << 32, u64{0xffffffff} << 32}) {
    for (const u32 v : {0xfffffffeu, 0xffffffffu, 0u, 1u}) low.values.push_back(high | v);
  }
  out.push_back(low);
  return out;
}

TEST(ScalarSoundness, SamplesStandForTheirValues) {
  for (const Sample& s : samples(4)) {
    EXPECT_EQ(bounds_violation(s.scalar), nullptr) << scalar_text(s.scalar);
    for (const u64 v : s.values) EXPECT_TRUE(s.scalar.contains(v)) << scalar_text(s.scalar) << ' ' << v;
  }
}

u64 concrete_alu(u8 op, bool is32, u64 a, u64 b) {
  return is32 ? isa::alu<u32>(op, static_cast<u32>(a), static_cast<u32>(b)) : isa::alu<u64>(op, a, b);
}

TEST(ScalarSoundness, ArithmeticContainsEveryConcreteResult) {
  const auto all = samples(6);
  for (const u8 op : {ADD, SUB, MUL, AND, OR, XOR, LSH, RSH, ARSH}) {
    for (const bool is32 : {false, true}) {
      const isa::Insn insn{.code = static_cast<u8>(op | X | (is32 ? ALU : ALU64))};
      for (const Sample& a : all) {
        for (const Sample& b : all) {
          Scalar r = a.scalar;
          alu(insn, r, b.scalar);
          for (const u64 x : a.values) {
            for (const u64 y : b.values) {
              ASSERT_TRUE(r.contains(concrete_alu(op, is32, x, y)))
                  << +insn.code << ": " << scalar_text(a.scalar) << " and " << scalar_text(b.scalar)
                  << " give " << scalar_text(r) << ", but " << x << " and " << y << " give "
                  << concrete_alu(op, is32, x, y);
            }
          }
        }
      }
    }
  }
}

TEST(ScalarSoundness, OneOperandOperationsContainEveryConcreteResult) {
  struct Op {
    isa::Insn insn;
    std::function<u64(u64)> concrete;
  };
  const auto bswap = [](u64 v, u32 bytes) { return __builtin_bswap64(v) >> (64 - 8 * bytes); };
  const Op ops[] = {
      {{.code = ALU64 | NEG}, [](u64 v) { return 0 - v; }},
      {{.code = ALU | NEG}, [](u64 v) { return u64{0 - static_cast<u32>(v)}; }},
      {{.code = ALU64 | END, .imm = 16}, [&](u64 v) { return bswap(v, 2); }},
      {{.code = ALU64 | END, .imm = 32}, [&](u64 v) { return bswap(v, 4); }},
      {{.code = ALU | END | X, .imm = 64}, [&](u64 v) { return bswap(v, 8); }},
      {{.code = ALU | END, .imm = 64}, [](u64 v) { return v; }},
      {{.code = ALU | END, .imm = 16}, [](u64 v) { return v & 0xffff; }},
      {{.code = ALU64 | MOV | X, .off = 8}, [](u64 v) { return isa::sign_extend(v, 8); }},
      {{.code = ALU64 | MOV | X, .off = 16}, [](u64 v) { return isa::sign_extend(v, 16); }},
      {{.code = ALU64 | MOV | X, .off = 32}, [](u64 v) { return isa::sign_extend(v, 32); }},
      {{.code = ALU | MOV | X, .off = 8}, [](u64 v) { return isa::sign_extend(v, 8) & 0xffffffff; }},
      {{.code = ALU | MOV | X, .off = 16}, [](u64 v) { return isa::sign_extend(v, 16) & 0xffffffff; }},
      {{.code = ALU | MOV | X}, [](u64 v) { return v & 0xffffffff; }},
  };
  for (const Op& op : ops) {
    for (const Sample& a : samples(8)) {
      Scalar r = a.scalar;
      if (isa::op_of(op.insn.code) == MOV) {
        r = mov(op.insn, a.scalar);
      } else {
        alu(op.insn, r, {});
      }
      for (const u64 v : a.values) {
        ASSERT_TRUE(r.contains(op.concrete(v)))
            << +op.insn.code << '/' << op.insn.imm << '/' << op.insn.off << ": " << scalar_text(a.scalar)
            << " gives " << scalar_text(r) << ", but " << v << " gives " << op.concrete(v);
      }
    }
  }
}

TEST(ScalarSoundness, LoadsOfEverySizeContainWhatIsLoaded) {
  for (const u32 bytes : {1u, 2u, 4u}) {
    for (const Sample& a : samples(8)) {
      Scalar r = a.scalar;
      coerce_to_size(r, bytes);
      for (const u64 v : a.values) ASSERT_TRUE(r.contains(v & ((u64{1} << (8 * bytes)) - 1)));
    }
    EXPECT_EQ(Scalar::of_size(bytes).umax, (u64{1} << (8 * bytes)) - 1);
  }
}

/// What is known beforehand must be what bringing the ranges in step would have found.
TEST(Scalar, ShortWaysGiveWhatTheLongOnesDo) {
  for (const u32 bytes : {1u, 2u, 4u}) {
    Scalar loaded;
    coerce_to_size(loaded, bytes);
    Scalar expected;
    const u64 most = (u64{1} << (8 * bytes)) - 1;
    expected.var_off = {0, most};
    sync_by_rounds(expected);
    EXPECT_EQ(loaded, expected) << bytes;
    sync_by_rounds(expected);  // and it stays so: sync_bounds() leaves it as it is
    EXPECT_EQ(loaded, expected) << bytes;
  }
  Scalar unknown;
  sync_by_rounds(unknown);
  EXPECT_EQ(unknown, Scalar::unknown());
  // A known number that is not in step is brought in step all the same.
  for (const u64 value : {u64{0}, u64{5}, ~u64{0}, u64{1} << 31, u64{1} << 63}) {
    Scalar known;
    known.var_off = tnum_const(value);
    EXPECT_FALSE(is_known_in_step(known));
    sync_bounds(known);
    EXPECT_EQ(known, Scalar::constant(value));
    EXPECT_TRUE(is_known_in_step(known));
    sync_by_rounds(known);
    EXPECT_EQ(known, Scalar::constant(value));
    EXPECT_EQ(bounds_violation(known), nullptr);
  }
}

/// A number near where widths and signs meet, or any.
u64 telling_number(std::mt19937_64& random) {
  constexpr u64 edges[] = {
      0, 1, 5, 64, 255, 0x7fffffff, 0x80000000, 0xffffffff, u64{1} << 32, u64{1} << 63, ~u64{0}};
  const u64 edge = edges[random() % std::size(edges)];
  switch (random() % 4) {
    case 0:
      return edge;
    case 1:
      return edge + random() % 9 - 4;
    case 2:
      return random() >> random() % 64;
    default:
      return edge ^ random() >> random() % 64;
  }
}

/// Any facts, whether they agree or not.
Scalar any_scalar(std::mt19937_64& random) {
  Scalar r;
  const auto sometimes = [&](auto& end) {
    if (random() % 3 == 0) end = static_cast<std::remove_reference_t<decltype(end)>>(telling_number(random));
  };
  sometimes(r.var_off.mask);
  sometimes(r.var_off.value);
  r.var_off.value &= ~r.var_off.mask;
  sometimes(r.umin);
  if (random() % 2 == 0) r.umax = telling_number(random);
  sometimes(r.smin);
  sometimes(r.smax);
  sometimes(r.umin32);
  sometimes(r.umax32);
  sometimes(r.smin32);
  sometimes(r.smax32);
  return r;
}

TEST(Scalar, WhatIsPlainIsBroughtInStepAsTheRoundsDo) {
  std::mt19937_64 random(1);
  u32 plain = 0;
  for (u32 i = 0; i < 300'000; ++i) {
    Scalar quick = any_scalar(random), expected = quick;
    ASSERT_EQ(is_sane(quick), bounds_violation(quick) == nullptr);
    sync_bounds(quick);
    sync_by_rounds(expected);
    ASSERT_EQ(quick, expected) << i;
    if (quick.umin < quick.umax && quick.umax <= INT32_MAX) ++plain;
    sync_bounds(quick);  // once more: often it is in step already
    sync_by_rounds(expected);
    ASSERT_EQ(quick, expected) << i;
  }
  EXPECT_GT(plain, 10'000u);
}

TEST(Scalar, KnownNumbersGiveTheNumberThatTheInstructionWould) {
  std::mt19937_64 random(1);
  for (u32 i = 0; i < 100'000; ++i) {
    constexpr u8 operations[] = {ADD, SUB, MUL, AND, OR, XOR, LSH, RSH, ARSH};
    const u8 operation = operations[random() % std::size(operations)];
    const bool is32 = random() % 2 == 0;
    const u64 a = telling_number(random);
    const u64 b = operation == LSH || operation == RSH || operation == ARSH ? random() % (is32 ? 32 : 64)
                                                                            : telling_number(random);
    const isa::Insn insn{.code = static_cast<u8>((is32 ? ALU : ALU64) | operation | X)};
    Scalar dst = Scalar::constant(a);
    alu(insn, dst, Scalar::constant(b));
    ASSERT_EQ(dst, Scalar::constant(concrete_alu(operation, is32, a, b)));
  }
}

TEST(ScalarSoundness, JumpsAreTakenAsPredictedAndTeachNothingFalse) {
  const auto all = samples(6);
  for (const u8 op : {JEQ, JNE, JGT, JGE, JLT, JLE, JSGT, JSGE, JSLT, JSLE, JSET}) {
    for (const bool is32 : {false, true}) {
      for (const Sample& a : all) {
        for (const Sample& b : all) {
          const int predicted = branch_taken(op, a.scalar, b.scalar, is32);
          Scalar ta = a.scalar, tb = b.scalar, fa = a.scalar, fb = b.scalar;
          if (predicted < 0) refine_branch(op, is32, ta, tb, fa, fb);
          for (const u64 x : a.values) {
            for (const u64 y : b.values) {
              const bool taken = is32 ? isa::cond<u32>(op, static_cast<u32>(x), static_cast<u32>(y))
                                      : isa::cond<u64>(op, x, y);
              const bool right = predicted < 0 ? (taken ? ta.contains(x) && tb.contains(y)
                                                        : fa.contains(x) && fb.contains(y))
                                               : taken == (predicted == 1);
              ASSERT_TRUE(right) << +op << (is32 ? " (32 bits) " : " ") << scalar_text(a.scalar) << " and "
                                 << scalar_text(b.scalar) << ": " << x << ' ' << y;
            }
          }
        }
      }
    }
  }
}

TEST(Scalar, ForksOnlyMinusOneToZeroUnderAKnownMask) {
  const isa::Insn conjunction{.code = ALU64 | AND | X};
  const Scalar sign = Scalar::in_range(-1, 0);
  EXPECT_EQ(needs_fork(conjunction, sign, Scalar::constant(6)), Fork::full);
  EXPECT_EQ(needs_fork(conjunction, sign, Scalar::unknown()), Fork::none);
  EXPECT_EQ(needs_fork({.code = ALU64 | ADD | X}, sign, Scalar::constant(6)), Fork::none);
  Scalar low;
  low.smin32 = -1;
  low.smax32 = 0;
  EXPECT_EQ(needs_fork({.code = ALU64 | OR | X}, low, Scalar::constant(6)), Fork::low32);
}

TEST(Scalar, PrintsAsTheKernelDoes) {
  EXPECT_EQ(scalar_text(Scalar::constant(5)), "5");
  EXPECT_EQ(scalar_text(Scalar::constant(~u64{0})), "-1");
  EXPECT_EQ(scalar_text(Scalar::constant(32768)), "0x8000");
  EXPECT_EQ(scalar_text(Scalar::unknown()), "scalar()");
  EXPECT_EQ(scalar_text(Scalar::unknown(), "id=1+5"), "scalar(id=1+5)");
  EXPECT_EQ(scalar_text(Scalar::of_size(1), "id=1"),
            "scalar(id=1,smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))");
}

}  // namespace
}  // namespace skep::verifier
