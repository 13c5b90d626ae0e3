// Bursts: each context is a run of its own, and the burst pauses where it is told to. Code memory: out of a
// pool.
#include "helpers/burst.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "isa/asm.hpp"
#include "jit/code_memory.hpp"
#include "jit/compile.hpp"

namespace skep::jit::testing {
namespace {

Result<Compiled> compiled(std::string_view source, const Options& options = {}) {
  const auto insns = TRY(isa::assemble(source));
  return compile_unverified(insns, {.helper = [](ProgType, s32 id) -> HelperFn {
                              if (id != 1) return nullptr;
                              return [](u64 ifindex, u64, u64, u64, u64, RunContext* rc) -> u64 {
                                const u64 before = rc->redirect.ifindex;
                                rc->redirect.ifindex = static_cast<u32>(ifindex);
                                return before;
                              };
                            }},
                            options);
}

class BurstTest : public ::testing::TestWithParam<bool> {};

TEST_P(BurstTest, RunsEachContextAndPauses) {
  // Returns the context's number, and what the run before left of its redirection above it.
  const auto program =
      compiled("r6 = *(u64 *)(r1 +0); r1 = r6; call 1; r0 <<= 8; r0 += r6; exit", {.burst = GetParam()});
  ASSERT_TRUE(program.has_value()) << program.error().what;
  const BurstEntry entry = program->burst_entry();
  std::array<u64, 64> contexts{};
  std::array<u32, 64> results{};
  for (u64 i = 0; i < contexts.size(); ++i) contexts[i] = i + 1;
  RunContext rc;
  rc.redirect = {7, 7, &rc, 7};
  Burst burst{.contexts = contexts.data(), .stride = 8, .results = results.data(), .count = 64};
  EXPECT_EQ(entry(burst, &rc), 64U);
  for (u32 i = 0; i < 64; ++i) EXPECT_EQ(results[i], i + 1) << "with no redirection of another run";
  EXPECT_EQ(rc.ctx, &contexts[63]);
  EXPECT_EQ(rc.redirect.ifindex, 64U);
  EXPECT_EQ(rc.redirect.map, nullptr);

  results = {};
  burst.ordinary = 1;
  burst.ordinary_count = 3;
  EXPECT_EQ(entry(burst, &rc), 4U) << "4 is not of 1, 2, 3";
  EXPECT_EQ(results[3], 4U);
  EXPECT_EQ(results[4], 0U);
  EXPECT_EQ(rc.redirect.ifindex, 4U);

  burst = {.contexts = &contexts[4], .stride = 0, .results = results.data(), .count = 3};
  EXPECT_EQ(entry(burst, &rc), 3U) << "one context again and again";
  EXPECT_EQ(results[2], 5U);
  contexts[0] = 0;
  burst = {
      .contexts = contexts.data(), .results = results.data(), .count = 1, .ordinary = 1, .ordinary_count = 3};
  EXPECT_EQ(entry(burst, &rc), 1U);
}

/// Nothing of it can look at the run context, which must look the same afterwards.
TEST_P(BurstTest, OfAProgramThatCallsNobodyLeavesTheSame) {
  const auto program = compiled("r0 = *(u64 *)(r1 +0); exit", {.burst = GetParam()});
  ASSERT_TRUE(program.has_value()) << program.error().what;
  std::array<u64, 64> contexts{};
  std::array<u32, 64> results{};
  for (u64 i = 0; i < contexts.size(); ++i) contexts[i] = i;
  for (const u32 pause_at : {64u, 10u, 1u, 0u}) {
    RunContext rc;
    rc.redirect = {7, 7, &rc, 7};
    rc.ctx = &rc;
    const Burst burst{.contexts = contexts.data(),
                      .stride = 8,
                      .results = results.data(),
                      .count = 64,
                      .ordinary = 0,
                      .ordinary_count = pause_at};
    const u32 ran = program->burst_entry()(burst, &rc);
    EXPECT_EQ(ran, std::min(pause_at + 1, 64u));
    EXPECT_EQ(rc.ctx, &contexts[ran - 1]);
    EXPECT_EQ(rc.redirect.ifindex, 0U);
    EXPECT_EQ(rc.redirect.flags, 0U);
    EXPECT_EQ(rc.redirect.map, nullptr);
    EXPECT_EQ(rc.redirect.map_index, 0U);
    for (u32 i = 0; i < ran; ++i) EXPECT_EQ(results[i], i);
  }
}
INSTANTIATE_TEST_SUITE_P(Burst, BurstTest, ::testing::Values(true, false));

/// Permissions of the mapping that holds `address`.
std::string permissions_at(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const u64 first = std::stoull(line, nullptr, 16);
    const u64 last = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    const u64 wanted = reinterpret_cast<u64>(address);
    if (wanted >= first && wanted < last) return line.substr(line.find(' ') + 1, 3);
  }
  return "none";
}

TEST(CodeMemory, IsNeverWritableWhereItIsExecutable) {
  const auto alone = compiled("r0 = 3; exit");
  const auto pooled = compiled("r0 = 4; exit", {.pool = std::make_shared<CodePool>()});
  ASSERT_TRUE(alone.has_value() && pooled.has_value());
  EXPECT_EQ(permissions_at(alone->code().data()), "r-x");
  EXPECT_EQ(permissions_at(pooled->code().data()), "r-x");
  RunContext rc;
  EXPECT_EQ(pooled->entry()(nullptr, &rc), 4U);
}

TEST(CodeMemory, APoolGivesAgainWhatWasGivenBack) {
  const auto pool = std::make_shared<CodePool>();
  const auto numbered = [&](u32 n) {
    auto program = compiled("r0 = " + std::to_string(n) + "; exit", {.pool = pool});
    EXPECT_TRUE(program.has_value());
    return *std::move(program);
  };
  std::vector<Compiled> programs;
  for (u32 i = 0; i < 100; ++i) programs.push_back(numbered(i));
  const std::byte* tenth = programs[10].code().data();
  RunContext rc;
  for (u32 i = 0; i < 100; ++i) EXPECT_EQ(programs[i].entry()(nullptr, &rc), i);
  programs.erase(programs.begin() + 10);
  programs.push_back(numbered(1000));
  EXPECT_EQ(programs.back().code().data(), tenth) << "the first place that is large enough";
  for (u32 i = 0; i < 99; ++i) EXPECT_EQ(programs[i].entry()(nullptr, &rc), i < 10 ? i : i + 1);
  EXPECT_EQ(programs.back().entry()(nullptr, &rc), 1000U);
  // A program larger than what is left takes a region of its own.
  std::string large = "r0 = 1;";
  for (u32 i = 0; i < 620'000; ++i) large += "r0 += 70000;";
  const auto big = compiled(large + "exit", {.combine = false, .pool = pool});
  ASSERT_TRUE(big.has_value());
  EXPECT_EQ(big->entry()(nullptr, &rc), 1U + 620'000ULL * 70'000);
}

}  // namespace
}  // namespace skep::jit::testing
