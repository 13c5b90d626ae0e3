// What verify() believes of registers is true: random programs run with random inputs, and at every
// instruction the values lie in the state that the log of level 2 gives there, on some path through the log
// that takes the jumps that the run takes. A path that ends in a state seen before ("safe") is covered by
// that one and not followed. SKEP_PATH_COUNT programs (default 300) from SKEP_PATH_SEED.
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "helpers/table.hpp"
#include "verifier/walk/path_soundness.hpp"
#include "verifier/walk/random_programs.hpp"

namespace skep::verifier {
namespace {

using namespace testing;

TEST(PathSoundness, TextsOfStatesAreUnderstood) {
  EXPECT_TRUE(holds("-5", ~u64{4}));
  EXPECT_FALSE(holds("P5", 6));
  EXPECT_TRUE(holds("scalar()", 12345));
  const char* range = "scalar(id=3,smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xfe))";
  EXPECT_TRUE(holds(range, 254));
  EXPECT_FALSE(holds(range, 255));
  EXPECT_FALSE(holds(range, 256));
  EXPECT_FALSE(holds("scalar(smin=-4,smax=-1)", 0));
  EXPECT_FALSE(holds("scalar(umin=0x8000000000000000)", 7));
}

TEST(PathSoundness, AFalseStateIsNoticed) {
  const std::vector<Insn> insns{{LDX | MEM | W, 2, 1, 12, 0}, {ALU64 | AND, 2, 0, 0, 7},
                                {JMP | JGT, 2, 0, 1, 3},      {ALU64 | ADD, 2, 0, 0, 1},
                                {ALU64 | MOV, 0, 0, 0, 0},    {JMP | EXIT, 0, 0, 0, 0}};
  Input input;
  input.type = ProgType::xdp;
  input.insns = insns;
  const auto result = verify(input, {.level = 2, .size = 1u << 20});
  ASSERT_TRUE(result);
  const auto segments = read_log(result->log().text);
  std::mt19937_64 rng(1);
  const auto trace = run(insns, rng);
  EXPECT_TRUE((Follower{segments, trace}.follow(segments.front(), 0, 0)));
  for (std::size_t wrong = 1; wrong + 1 < trace.size(); ++wrong) {
    auto changed = trace;
    for (std::size_t i = wrong; i < changed.size(); ++i) changed[i].after[2] = changed[i].after[0] = 9;
    EXPECT_FALSE((Follower{segments, changed}.follow(segments.front(), 0, 0))) << wrong;
  }
  auto elsewhere = trace;
  elsewhere[3].insn = 5;
  EXPECT_FALSE((Follower{segments, elsewhere}.follow(segments.front(), 0, 0)));
}

/// Linux 6.18 believes r2 to be r3 here, though r2 has no sign: it was found by the test below.
TEST(PathSoundness, ASignExtendedFillIsAnotherNumber) {
  const std::vector<Insn> insns{{LDX | MEM | W, 2, 1, 12, 0},    {STX | MEM | DW, 10, 2, -8, 0},
                                {LDX | MEMSX | W, 3, 10, -8, 0}, {JMP | JSLT, 3, 0, 1, 0},
                                {ALU64 | MOV | X, 4, 2, 0, 0},   {ALU64 | MOV | X, 5, 2, 0, 0},
                                {ALU64 | MOV, 0, 0, 0, 0},       {JMP | EXIT, 0, 0, 0, 0}};
  Input input;
  input.type = ProgType::xdp;
  input.insns = insns;
  const auto result = verify(input, {.level = 2, .size = 1u << 20});
  ASSERT_TRUE(result);
  const auto segments = read_log(result->log().text);
  std::mt19937_64 rng(3);
  for (u32 n = 0; n < 50; ++n) {
    const auto trace = run(insns, rng);
    Follower follower{segments, trace};
    EXPECT_TRUE(follower.follow(segments.front(), 0, 0)) << follower.complaint << result->log().text;
  }
}

TEST(PathSoundness, EveryValueLiesInItsState) {
  const u64 count = from_environment("SKEP_PATH_COUNT", 300);
  std::mt19937_64 rng(from_environment("SKEP_PATH_SEED", 1));
  u64 checked = 0, accepted = 0;
  for (u64 n = 0; n < count; ++n) {
    const auto insns = random_program(rng);
    Input input;
    input.type = ProgType::xdp;
    input.gpl_compatible = true;
    input.insns = insns;
    input.helper = helpers::lookup;
    input.helper_name = helpers::name;
    const auto result = verify(input, {.level = 2, .size = 32u << 20});
    if (!result) continue;  // a part of a spilled pointer, or the like
    ++accepted;
    const auto segments = read_log(result->log().text);
    ASSERT_FALSE(segments.empty());
    for (u32 input_no = 0; input_no < 8; ++input_no) {
      const auto trace = run(insns, rng);
      checked += trace.size();
      Follower follower{segments, trace};
      ASSERT_TRUE(follower.follow(segments.front(), 0, 0))
          << "program " << n << ": " << follower.complaint << "\n"
          << listing(insns) << result->log().text;
    }
  }
  EXPECT_GT(accepted, count / 2);
  std::cout << accepted << " programs, " << checked << " moments\n";
}

}  // namespace
}  // namespace skep::verifier
