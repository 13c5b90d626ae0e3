// Which instructions the pass combines, and which it must leave alone. That results stay equal is
// differential_test's business; each program here goes through it as well.
#include <gtest/gtest.h>

#include "isa/asm.hpp"
#include "jit/differential.hpp"
#include "jit/plan.hpp"

namespace skep::jit::testing {
namespace {

constexpr Cpu everything{.bmi2 = true, .movbe = true};

/// What is said of the first instruction with that shape; fails the test if there is none.
Detail detail_of(std::string_view source, Shape shape) {
  const auto insns = isa::assemble(source);
  EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
  if (!insns) return {};
  EXPECT_EQ(difference(*insns), "");
  const auto program = vm::check(*insns, {});
  EXPECT_TRUE(program.has_value());
  const Options options{.cpu = everything, .combine = true};
  Plan plan;
  make_plan(*program, {}, options, plan);
  for (std::size_t i = 0; i < plan.nodes.size(); ++i)
    if (plan.nodes[i].shape == shape) return plan.details[i];
  ADD_FAILURE() << "nothing of the wanted shape in: " << source;
  return {};
}
bool has(std::string_view source, Shape shape) {
  const auto insns = isa::assemble(source);
  EXPECT_TRUE(insns.has_value());
  EXPECT_EQ(difference(*insns), "");
  const auto program = vm::check(*insns, {});
  EXPECT_TRUE(program.has_value());
  const Options options{.cpu = everything, .combine = true};
  Plan plan;
  make_plan(*program, {}, options, plan);
  return std::any_of(plan.nodes.begin(), plan.nodes.end(),
                     [shape](const Node& node) { return node.shape == shape; });
}

TEST(Combine, MakesRotationsOfShiftsAndOr) {
  EXPECT_EQ(
      detail_of("r2 = 77; r3 = r2; r3 <<= 13; r2 >>= 51; r3 |= r2; r0 = r3; exit", Shape::rotate).operand,
      13);
  EXPECT_EQ(
      detail_of("w2 = 77; w3 = w2; w3 >>= 18; w2 <<= 14; w2 |= w3; r0 = r2; exit", Shape::rotate).operand,
      14);
  EXPECT_EQ(detail_of("w2 = 77; w3 = w2; w3 >>= 18; w4 = w2; w4 <<= 14; w4 |= w3; r0 = r4; r0 += r2; exit",
                      Shape::rotate)
                .other,
            4);
  EXPECT_FALSE(has("r2 = 77; r3 = r2; r3 <<= 13; r2 >>= 50; r3 |= r2; r0 = r3; exit", Shape::rotate));
  EXPECT_FALSE(
      has("r2 = 77; r3 = r2; r3 <<= 13; r2 >>= 51; r3 |= r2; r0 = r3; r0 += r2; exit", Shape::rotate));
  EXPECT_FALSE(has("r2 = 77; r3 = r2; if r1 == 0 goto l; r3 <<= 13; l: r2 >>= 51; r3 |= r2; r0 = r3; exit",
                   Shape::rotate));
}

TEST(Combine, AddsWithLea) {
  EXPECT_EQ(detail_of("r2 = r1; r2 += -4; r0 = *(u8 *)(r2 +0); exit", Shape::lea).operand, -4);
  EXPECT_TRUE(has("w2 = -1; w3 = w2; w3 += 1; r0 = r3; exit", Shape::lea));
  EXPECT_FALSE(has("r2 = r1; r3 = r2; w3 += 1; r0 = 1; exit", Shape::lea));
}

TEST(Combine, AccessesTakeASumThatNobodyElseNeeds) {
  EXPECT_EQ(
      detail_of("r2 = 5; r3 = r1; r3 += r2; r3 += 7; r0 = *(u8 *)(r3 +1); exit", Shape::indexed).operand, 8);
  EXPECT_EQ(
      detail_of("r2 = 8; r3 = r10; r3 += r2; r3 += -32; *(u64 *)(r3 +0) = 9; r0 = *(u64 *)(r10 -24); exit",
                Shape::indexed)
          .other,
      2);
  // A load and a store at one address; the address lives on; its parts change in between.
  EXPECT_FALSE(has("r2 = 8; r3 = r1; r3 += r2; r4 = *(u64 *)(r3 +0); *(u64 *)(r3 +8) = r4; r0 = r4; exit",
                   Shape::lea_index));
  EXPECT_FALSE(
      has("r2 = 8; r3 = r1; r3 += r2; r4 = *(u64 *)(r3 +0); r0 = r4; r0 += r3; exit", Shape::indexed));
  EXPECT_FALSE(has("r2 = 8; r3 = r1; r3 += r2; r2 = *(u64 *)(r3 +0); r0 = *(u64 *)(r3 +8); r0 += r2; exit",
                   Shape::indexed));
}

/// The guards that the fixups put before divisions, and what only looks like one.
TEST(Combine, DividesWithoutASecondTestOfTheDivisor) {
  for (const char* divisor : {"0", "1", "-1", "0x100000000 ll", "7"})
    for (const char* dividend : {"0", "100", "-100", "0x123456789abcdef0 ll"})
      for (const char* rest : {
               "if r2 == 0 goto over; r0 %= r2; over: exit",
               "if w2 == 0 goto over; w0 %= w2; goto out; over: w0 = w0; out: exit",
               "if r2 != 0 goto do; w0 ^= w0; goto over; do: r0 /= r2; over: exit",
               "if w2 != 0 goto do; w0 ^= w0; goto over; do: w0 /= w2; over: exit",
               "if w2 != 0 goto do; w0 ^= w0; goto over; do: r0 s/= r2; over: exit",
               "if r2 == 0 goto over; w0 /= w2; over: exit",  // 64 bits tested, 32 divide
               "if r0 != 0 goto do; w0 ^= w0; goto over; do: r0 /= r2; over: exit",
               "if r2 == 1 goto over; r0 /= r2; over: exit",
               "if r2 != 0 goto do; goto do; do: r0 /= r2; exit",
               "if r2 == 0 goto do; do: r0 /= r2; exit",
               "r3 = 3; head: r3 -= 1; if r3 == 0 goto out; if r2 == 0 goto out; r0 %= r2; r0 += 77; goto "
               "head; out: exit",
           }) {
        const auto insns = isa::assemble(std::string("r2 = ") + divisor + "; r0 = " + dividend + "; " + rest);
        ASSERT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what) << rest;
        EXPECT_EQ(difference(*insns), "");
      }
}

TEST(Combine, SelectsWithoutAJump) {
  EXPECT_TRUE(
      has("r2 = *(u8 *)(r1 +0); r0 = 1; if r2 == 0 goto over; r0 = 0; over: r0 += r2; exit", Shape::select));
  EXPECT_TRUE(has("r2 = *(u8 *)(r1 +0); w0 = -5; if w2 s> 7 goto over; w0 = 9; over: exit", Shape::select));
  EXPECT_FALSE(has("r0 = 1; if r0 == 0 goto over; r0 = 0; over: exit", Shape::select)) << "the test reads it";
  EXPECT_FALSE(has("r2 = 3; r0 = 1; if r2 == 0 goto over; r0 = 0; r2 = 9; over: exit", Shape::select));
}

/// What the jump back of the only loop says.
Node loop_of(std::string_view source) {
  const auto insns = isa::assemble(source);
  EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
  if (!insns) return {};
  EXPECT_EQ(difference(*insns), "");
  const auto program = vm::check(*insns, {});
  Plan plan;
  make_plan(*program, {}, {}, plan);
  for (const Node& node : plan.nodes)
    if (node.unroll != 0) return node;
  return {};
}

TEST(Unroll, RepeatsBodiesAndDropsTestsWhereTheRoundsAreKnown) {
  const auto counted = [](const char* start, const char* end) {
    return loop_of(std::string("r0 = 0; r2 = ") + start + "; head: r0 += r2; r2 += 8; if r2 != " + end +
                   " goto head; r0 += r2; exit");
  };
  EXPECT_EQ(counted("0", "512").unroll, 8);
  EXPECT_TRUE(counted("0", "512").exact);
  EXPECT_EQ(counted("0", "120").unroll, 5) << "15 rounds";
  EXPECT_EQ(counted("-16", "88").unroll, 4) << "13 rounds: the tests stay";
  EXPECT_FALSE(counted("-16", "88").exact);
  EXPECT_EQ(counted("0", "8").unroll, 4) << "one round";
  EXPECT_FALSE(counted("0", "8").exact);
  EXPECT_FALSE(
      loop_of("r0 = 0; r2 = 8; if r1 == 0 goto head; r2 = 0; head: r0 += 1; r2 += 1; if r2 != 64 goto "
              "head; exit")
          .exact)
      << "one of two starts";
  // Left early, entered in the middle, two ways to the head, two steps.
  EXPECT_TRUE(
      loop_of("r0 = 0; r2 = 0; head: r0 += r2; if r0 > 99 goto out; r2 += 1; if r2 != 64 goto head; out: "
              "exit")
          .exact);
  EXPECT_FALSE(
      loop_of("r0 = 0; r2 = 0; if r1 == 0 goto middle; head: r0 += r2; middle: r2 += 1; if r2 != 64 goto "
              "head; exit")
          .exact);
  EXPECT_FALSE(loop_of("r0 = 0; r2 = 0; r3 = r1; if r3 != 0 goto head; r2 = 2; head: r0 += r2; r2 += 1; if "
                       "r2 != 64 goto head; "
                       "exit")
                   .exact);
  EXPECT_FALSE(
      loop_of("r0 = 0; r2 = 0; head: r2 += 1; r0 += r2; r2 += 1; if r2 != 64 goto head; exit").exact);
  // A diamond inside, a call inside: left alone.
  EXPECT_EQ(
      loop_of("r0 = 0; r2 = 9; head: if r0 > 4 goto on; r0 += 2; on: r2 += -1; if r2 != 0 goto head; exit")
          .unroll,
      0);
  EXPECT_EQ(
      loop_of("r6 = 9; r0 = 0; head: callf f; r6 += -1; if r6 != 0 goto head; exit; f: r0 += 1; exit").unroll,
      0);
}

TEST(Combine, AddsTwoRegistersAndAConstantWithLea) {
  EXPECT_EQ(detail_of("r2 = 5; r3 = r1; r3 += r2; r0 = r3; exit", Shape::lea_index).other, 2);
  EXPECT_EQ(detail_of("r2 = 5; r3 = r1; r3 += r2; r3 += 7; r0 = r3; exit", Shape::lea_index).operand, 7);
  EXPECT_EQ(detail_of("r2 = 5; r3 = r1; r3 += -9; r3 += r2; r0 = r3; exit", Shape::lea_index).operand, -9);
  EXPECT_FALSE(has("r3 = 5; r2 = r3; r2 += r2; r0 = r2; exit", Shape::lea_index));
}

TEST(Combine, SwapsWhileLoading) {
  EXPECT_TRUE(has("r0 = *(u16 *)(r1 +6); r0 = be16 r0; exit", Shape::load_swapped));
  EXPECT_TRUE(has("r0 = *(u32 *)(r1 +6); r0 = bswap32 r0; exit", Shape::load_swapped));
  EXPECT_FALSE(has("r0 = *(u32 *)(r1 +6); r0 = be16 r0; exit", Shape::load_swapped));
  EXPECT_FALSE(has("r0 = *(u32 *)(r1 +6); r0 = le32 r0; exit", Shape::load_swapped));
}

TEST(Combine, LoadsAPackedFieldAtOnce) {
  Detail node =
      detail_of("r2 = *(u8 *)(r1 +12); r3 = *(u8 *)(r1 +13); w3 <<= 8; w3 |= w2; r2 = 0; r0 = r3; exit",
                Shape::wide_load);
  EXPECT_EQ(node.bytes, 2);
  EXPECT_EQ(node.off, 12);
  EXPECT_FALSE(node.swapped);
  node = detail_of("r2 = *(u8 *)(r1 +12); r2 <<= 8; r3 = *(u8 *)(r1 +13); r2 |= r3; r0 = r2; exit",
                   Shape::wide_load);
  EXPECT_TRUE(node.swapped);
  node = detail_of(
      R"(r2 = *(u8 *)(r1 +1); w2 <<= 8; r3 = *(u8 *)(r1 +0); w2 |= w3; r3 = *(u8 *)(r1 +2); w3 <<= 16
                    r4 = *(u8 *)(r1 +3); w4 <<= 24; w4 |= w3; w4 |= w2; r0 = r4; exit)",
      Shape::wide_load);
  EXPECT_EQ(node.bytes, 4);
  EXPECT_EQ(node.other, 0);  // straight into where it is wanted
  // A byte that is still read, bytes that are not adjacent, a store in between.
  EXPECT_FALSE(has("r2 = *(u8 *)(r1 +12); r3 = *(u8 *)(r1 +13); w3 <<= 8; w3 |= w2; r0 = r3; r0 += r2; exit",
                   Shape::wide_load));
  EXPECT_FALSE(
      has("r2 = *(u8 *)(r1 +12); r3 = *(u8 *)(r1 +14); w3 <<= 8; w3 |= w2; r0 = r3; exit", Shape::wide_load));
  EXPECT_FALSE(has(
      "r2 = *(u8 *)(r1 +12); *(u8 *)(r1 +13) = 9; r3 = *(u8 *)(r1 +13); w3 <<= 8; w3 |= w2; r0 = r3; exit",
      Shape::wide_load));
  EXPECT_FALSE(
      has("r2 = *(u8 *)(r1 +12); w2 <<= 8; r3 = *(u8 *)(r1 +12); w3 |= w2; r0 = r3; exit", Shape::wide_load));
}

TEST(Combine, StoresAPackedFieldAtOnce) {
  Detail node = detail_of(
      R"(w5 = 0x12345678; w2 = w5; w2 >>= 16; *(u8 *)(r1 +8) = r2; w2 = w5; w2 >>= 24; *(u8 *)(r1 +9) = r2
                    *(u8 *)(r1 +6) = r5; w5 >>= 8; *(u8 *)(r1 +7) = r5; r0 = 0; exit)",
      Shape::wide_store);
  EXPECT_EQ(node.bytes, 4);
  EXPECT_EQ(node.off, 6);
  node = detail_of("r4 = 0x1234; *(u8 *)(r1 +11) = r4; w4 >>= 8; *(u8 *)(r1 +10) = r4; r0 = 0; exit",
                   Shape::wide_store);
  EXPECT_TRUE(node.swapped);
  EXPECT_FALSE(has("r4 = 0x1234; *(u8 *)(r1 +10) = r4; w4 >>= 8; *(u8 *)(r1 +11) = r4; r0 = r4; exit",
                   Shape::wide_store));
  EXPECT_FALSE(has("r4 = 0x1234; *(u8 *)(r1 +10) = r4; w4 >>= 4; *(u8 *)(r1 +11) = r4; r0 = 0; exit",
                   Shape::wide_store));
}

TEST(Combine, StoresConstantsAndCopiesAtOnce) {
  EXPECT_EQ(
      detail_of(
          "*(u8 *)(r1 +4) = 1; *(u8 *)(r1 +5) = 2; *(u8 *)(r1 +6) = 3; *(u8 *)(r1 +7) = -1; r0 = 0; exit",
          Shape::wide_constant)
          .operand,
      static_cast<s32>(0xff030201));
  EXPECT_FALSE(has("*(u8 *)(r1 +4) = 1; *(u8 *)(r1 +6) = 2; r0 = 0; exit", Shape::wide_constant));
  const Detail node = detail_of(
      "r2 = *(u8 *)(r1 +8); *(u8 *)(r1 +2) = r2; r2 = *(u8 *)(r1 +9); *(u8 *)(r1 +3) = r2; r0 = 0; exit",
      Shape::wide_copy);
  EXPECT_EQ(node.bytes, 2);
  EXPECT_EQ(node.from, 8);
  EXPECT_EQ(node.off, 2);
  // Overlapping: the second byte read is the first one written.
  EXPECT_FALSE(
      has("r2 = *(u8 *)(r1 +8); *(u8 *)(r1 +9) = r2; r2 = *(u8 *)(r1 +9); *(u8 *)(r1 +10) = r2; r0 = 0; exit",
          Shape::wide_copy));
}

TEST(Combine, ReadsTheCpuNumberFromTheRunContext) {
  EXPECT_TRUE(has("r0 = " + std::to_string(fixup::percpu_cpu_number) +
                      "; r0 = &(void __percpu *)(r0); r0 = *(u32 *)(r0 +0); exit",
                  Shape::current_cpu));
}

TEST(Plan, SavesOnlyWhatAFunctionMentions) {
  const auto insns =
      isa::assemble("r6 = 1; r0 = r6; callf f; exit; f: *(u64 *)(r10 -40) = 2; r0 = *(u64 *)(r10 -40); exit");
  const auto program = vm::check(*insns, {});
  ASSERT_TRUE(program.has_value());
  Plan plan;
  make_plan(*program, {}, {}, plan);
  ASSERT_EQ(plan.functions.size(), 2U);
  EXPECT_EQ(plan.functions[0].saved, 1U << 6);
  EXPECT_FALSE(plan.functions[0].uses_frame);
  EXPECT_TRUE(plan.functions[0].makes_calls);
  EXPECT_EQ(plan.functions[1].saved, 0);
  EXPECT_TRUE(plan.functions[1].uses_frame);
  EXPECT_EQ(plan.functions[1].stack_bytes, 40U);
  EXPECT_FALSE(plan.needs_run_context);
}

TEST(CodeMemory, IsNeverWritableAndExecutable) {
  const auto insns = isa::assemble("r0 = 1; exit");
  const auto compiled = compile_unverified(*insns, {});
  ASSERT_TRUE(compiled.has_value());
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  ASSERT_NE(maps, nullptr);
  char line[512];
  bool found = false;
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long from = 0, to = 0;
    char rights[5] = {};
    if (std::sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3) continue;
    const auto code = reinterpret_cast<unsigned long>(compiled->code().data());
    if (code < from || code >= to) continue;
    found = true;
    EXPECT_STREQ(rights, "r-xp");
  }
  std::fclose(maps);
  EXPECT_TRUE(found);
}

TEST(Combine, ShiftsThereAndBackExtend) {
  EXPECT_EQ(detail_of("r0 = -2; r0 <<= 32; r0 >>= 32; exit", Shape::extend).bytes, 4);
  EXPECT_TRUE(detail_of("r1 = 511; r0 = r1; r0 <<= 56; r0 s>>= 56; exit", Shape::extend).is_signed);
  EXPECT_EQ(detail_of("w0 = -2; w0 <<= 16; w0 >>= 16; exit", Shape::extend).bytes, 2);
  EXPECT_FALSE(has("r0 = -2; r0 <<= 32; r0 >>= 31; exit", Shape::extend));
  EXPECT_FALSE(has("r0 = -2; r0 <<= 40; r0 >>= 40; exit", Shape::extend));
  EXPECT_FALSE(has("r0 = -2; r0 <<= 32; if r0 == 0 goto l; r0 = 3; l: r0 >>= 32; exit", Shape::extend));
}

TEST(Combine, SumsOfSumsAndJumpsWithoutTheAddress) {
  // What clang makes of `if (p + i + 4 > end) break; sum += *(u32 *)(p + i)`.
  EXPECT_EQ(
      detail_of("r2 = 8; r5 = r1; r5 += r2; r0 = r5; r0 += 4; if r0 > r1 goto l; r5 = *(u32 *)(r5 +0); r0 = "
                "r5; l: exit",
                Shape::indexed)
          .other,
      2);
  EXPECT_FALSE(
      has("r2 = 8; r5 = r1; r5 += r2; r0 = r5; r0 += 4; if r0 > r1 goto l; r6 = *(u32 *)(r5 +0); r5 = r6; "
          "l: r0 = r5; exit",
          Shape::indexed))
      << "the address is needed where the jump goes";
}

/// Whether the only loop has copies that take the counter's growth into their offsets.
bool steps_once(std::string_view source) {
  const auto insns = isa::assemble(source);
  EXPECT_TRUE(insns.has_value());
  EXPECT_EQ(difference(*insns), "");
  const auto program = vm::check(*insns, {});
  Plan plan;
  make_plan(*program, {}, {.cpu = everything}, plan);
  return std::any_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) { return node.steps; });
}

TEST(Unroll, CountersOfAddressesGrowOnce) {
  EXPECT_TRUE(
      steps_once("r0 = 0; r2 = 0; l: r3 = r1; r3 += r2; r4 = *(u32 *)(r3 +0); r0 += r4; r2 += 4; if r2 != 60 "
                 "goto l; r0 += r2; exit"));
  EXPECT_TRUE(
      steps_once("r0 = 0; r2 = 0; l: r3 = r1; r3 += r2; r5 = r3; r5 += 4; if r5 == r0 goto out; r4 = *(u32 "
                 "*)(r3 +0); r0 += r4; r2 += 4; if r2 != 60 goto l; out: exit"));
  EXPECT_FALSE(
      steps_once("r0 = 0; r2 = 0; l: r3 = r1; r3 += r2; r5 = r3; r5 += 4; if r5 == r0 goto out; r4 = *(u32 "
                 "*)(r3 +0); r0 += r4; r2 += 4; if r2 != 60 goto l; out: r0 += r2; exit"))
      << "the counter is needed behind the jump out of the loop";
  EXPECT_FALSE(
      steps_once("r0 = 0; r2 = 0; l: r3 = r1; r3 += r2; r4 = *(u32 *)(r3 +0); r0 += r4; r0 += r2; r2 += 4; "
                 "if r2 != 60 goto l; exit"))
      << "a value, not an address";
  EXPECT_FALSE(
      steps_once("r0 = 0; r2 = 0; l: r2 += 4; r3 = r1; r3 += r2; r4 = *(u32 *)(r3 +0); r0 += r4; "
                 "if r2 != 60 goto l; exit"));
}

TEST(Plan, JumpsAreFollowedWhereTheyLeadToJumps) {
  const auto goes_to = [](std::string_view source, u32 at) {
    const auto insns = isa::assemble(source);
    EXPECT_TRUE(insns.has_value());
    EXPECT_EQ(difference(*insns), "");
    const auto program = vm::check(*insns, {});
    Plan plan;
    make_plan(*program, {}, {}, plan);
    return destination(*program, plan, at);
  };
  // 0: r0 = 3, 1: the jump, 2, 3: where it goes, 4, 5
  EXPECT_EQ(goes_to("r0 = 3; if r1 != 0 goto l; r0 += 1; l: if r1 == 0 goto m; r0 += 2; m: exit", 1), 4u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 != 0 goto l; r0 += 1; l: if r1 != 0 goto m; r0 += 2; m: exit", 1), 5u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 > 9 goto l; r0 += 1; l: if r1 <= 9 goto m; r0 += 2; m: exit", 1), 4u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 > 9 goto l; r0 += 1; l: if r1 <= 8 goto m; r0 += 2; m: exit", 1), 3u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 > 9 goto l; r0 += 1; l: if w1 <= 9 goto m; r0 += 2; m: exit", 1), 3u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 > r0 goto l; r0 += 1; l: if r1 <= 9 goto m; r0 += 2; m: exit", 1), 3u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 & 9 goto l; r0 += 1; l: if r1 == 9 goto m; r0 += 2; m: exit", 1), 3u);
  EXPECT_EQ(goes_to("r0 = 3; if r1 > 9 goto l; r0 += 1; l: goto m; r0 += 2; m: exit", 1), 5u);
  EXPECT_TRUE(has("r0 = 3; if r1 > 9 goto l; goto m; l: r0 += 2; m: exit", Shape::unless));
}

TEST(Combine, SmallFunctionsStandWhereTheyAreCalled) {
  EXPECT_TRUE(has("r1 = 4; callf f; r1 = r0; callf f; exit; f: r0 = r1; r0 *= 3; exit", Shape::inlined));
  EXPECT_TRUE(
      has("r1 = 4; callf f; r6 = r0; r1 = 9; callf f; r0 += r6; exit;"
          "f: r0 = r1; if r1 > 5 goto l; r0 = 7; exit; l: r0 += 2; if r0 == 11 goto m; r0 = 1; m: exit",
          Shape::inlined));
  // A loop; a register that it would have to save; a frame.
  EXPECT_FALSE(has("r1 = 4; callf f; exit; f: r0 = r1; l: r1 -= 1; if r1 != 0 goto l; exit", Shape::inlined));
  EXPECT_FALSE(has("r1 = 4; callf f; exit; f: r6 = r1; r0 = r6; exit", Shape::inlined));
  EXPECT_FALSE(
      has("r1 = 4; callf f; exit; f: *(u64 *)(r10 -8) = r1; r0 = *(u64 *)(r10 -8); exit", Shape::inlined));
  // One instruction too many.
  std::string body = "r1 = 4; callf f; exit; f: r0 = r1;";
  for (u32 i = 0; i < longest_inlined - 2; ++i) body += "r0 += 3;";
  EXPECT_TRUE(has(body + "exit", Shape::inlined));
  EXPECT_FALSE(has(body + "r0 += 3; exit", Shape::inlined));
}

TEST(Combine, TermsOfASumLiveUntilItIsUsed) {
  // The remainder is computed in R0's register, which nobody reads after the sum.
  EXPECT_TRUE(
      has("*(u64 *)(r10 -16) = 7; *(u64 *)(r10 -8) = 9; r9 = r10; r9 += -16; r4 = 12345; r0 = 8; r5 = r9; "
          "r5 += r0; r4 %= 10; r1 = *(u64 *)(r5 +0); r0 = r1; r0 += r4; exit",
          Shape::indexed));
}

TEST(Combine, LoopsThatThreadedJumpsComeBackIntoAreNotRepeated) {
  std::string loop = "r2 = 0; r3 = 0; r4 = 0; head: r5 = r2; if r2 == 7 goto there; r3 += r2; in: r4 += 1; ";
  for (u32 i = 0; i < 12; ++i) loop += "r4 ^= 0x1234567; ";
  const auto insns =
      isa::assemble(loop + "r4 += r3; r2 += 1; if r2 != 100 goto head; r0 = r4; exit; there: goto in");
  ASSERT_TRUE(insns.has_value()) << insns.error().what;
  EXPECT_EQ(difference(*insns), "");
}

TEST(Combine, InlinedFunctionsKeepCodeOfTheirOwn) {
  const auto insns = isa::assemble("r1 = 4; callf f; r1 = r0; callf f; exit; f: r0 = r1; r0 *= 3; exit");
  ASSERT_TRUE(insns.has_value());
  const auto compiled = compile_unverified(*insns, {});
  ASSERT_TRUE(compiled.has_value());
  ASSERT_EQ(compiled->subprogs().size(), 2u);
  const SubprogCode& f = compiled->subprogs()[1];
  EXPECT_EQ(f.first_insn, 5u);
  EXPECT_GT(f.length, 0u);
  for (u32 i = 0; i < insns->size(); ++i) {
    const u32 at = compiled->insn_offsets()[i];
    EXPECT_EQ(at >= f.offset && at < f.offset + f.length, i >= 5) << i;
  }
  RunContext rc;
  EXPECT_EQ(compiled->entry()(nullptr, &rc), 36u);
}

}  // namespace
}  // namespace skep::jit::testing
