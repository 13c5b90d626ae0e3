// Helpers that machine code has inline do what the function does that the interpreter calls: result, and what
// they leave in the run context.
#include <gtest/gtest.h>

#include "helpers/simple.hpp"
#include "helpers/table.hpp"
#include "isa/asm.hpp"
#include "jit/compile.hpp"
#include "vm/interpreter.hpp"

namespace skep::jit {
namespace {

struct Left {
  u64 result = 0, prandom = 0;
  u32 ifindex = 0, flags = 0, map_index = 0;
  bool map_kept = false, map_null = false;
  bool operator==(const Left&) const = default;
};

Left run_on(const Entry& entry) {
  RunContext rc;
  rc.cpu = 5;
  rc.prandom_state = 0x123456789abcdef1;
  rc.redirect = {.ifindex = 9, .flags = 9, .map = &rc, .map_index = 9};
  Left left;
  left.result = entry(nullptr, &rc);
  left.prandom = rc.prandom_state;
  left.ifindex = rc.redirect.ifindex;
  left.flags = rc.redirect.flags;
  left.map_index = rc.redirect.map_index;
  left.map_kept = rc.redirect.map == &rc;
  left.map_null = rc.redirect.map == nullptr;
  return left;
}

/// What the interpreter leaves, and that every kind of machine code leaves the same.
Left everywhere(ProgType type, const std::string& source) {
  const auto insns = isa::assemble(source);
  EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
  if (!insns) return {};
  const vm::LinkTable links{.type = type, .helper = helpers::function};
  const auto interpreted = vm::prepare_unverified(*insns, links);
  EXPECT_TRUE(interpreted.has_value());
  if (!interpreted) return {};
  const Left want = run_on(interpreted->entry());
#if defined(__x86_64__)
  constexpr bool can_harden = true;
#else
  constexpr bool can_harden = false;
#endif
  for (const bool combine : {true, false})
    for (const bool harden : {false, can_harden}) {
      const auto compiled = compile_unverified(*insns, links, {.combine = combine, .harden = harden});
      EXPECT_TRUE(compiled.has_value());
      if (compiled) {
        EXPECT_EQ(run_on(compiled->entry()), want)
            << source << " combine " << combine << " harden " << harden;
      }
    }
  return want;
}

TEST(InlineHelper, RandomNumbers) {
  const Left once = everywhere(ProgType::xdp, "call 7; exit");
  EXPECT_EQ(once.result >> 32, 0u);
  EXPECT_NE(once.prandom, 0x123456789abcdef1U);
  const Left thrice = everywhere(
      ProgType::xdp, "call 7; r6 = r0; call 7; r6 <<= 7; r6 ^= r0; call 7; r0 <<= 20; r0 += r6; exit");
  EXPECT_NE(thrice.prandom, once.prandom);
}

TEST(InlineHelper, Processor) { EXPECT_EQ(everywhere(ProgType::xdp, "r0 = -1; call 8; exit").result, 5u); }

TEST(InlineHelper, Redirect) {
  for (const ProgType type : {ProgType::xdp, ProgType::sched_cls, ProgType::sched_act})
    for (const char* flags : {"r2 = 0", "r2 = 1", "r2 = 2", "r2 = -1", "r2 = 4294967296 ll", "r2 = 65536"})
      for (const char* ifindex : {"r1 = 1", "r1 = -2", "r1 = 81985529216486895 ll"}) {
        const std::string source = std::string(ifindex) + "; " + flags + "; r6 = 3; call 23; r0 += r6; exit";
        const Left left = everywhere(type, source);
        const bool taken = std::string_view(flags) == "r2 = 0" ||
                           (type != ProgType::xdp && std::string_view(flags) == "r2 = 1");
        EXPECT_EQ(left.map_null, taken) << source;
        EXPECT_EQ(left.map_kept, !taken) << source;
        EXPECT_EQ(left.map_index, taken ? 0u : 9u) << source;
        const auto& rule = type == ProgType::xdp ? helpers::xdp_redirect_rule : helpers::tc_redirect_rule;
        EXPECT_EQ(left.result, 3 + (taken ? rule.done : rule.refused)) << source;
      }
}

TEST(InlineHelper, OthersAreCalled) {
  for (const s32 id : {1, 5, 6, 44, 51, 118})
    EXPECT_EQ(helpers::simple(helpers::function(ProgType::xdp, id)), helpers::Simple::none) << id;
  EXPECT_EQ(helpers::simple(nullptr), helpers::Simple::none);
  EXPECT_EQ(helpers::simple(helpers::function(ProgType::lwt_xmit, 23)), helpers::Simple::tc_redirect);
}

}  // namespace
}  // namespace skep::jit
