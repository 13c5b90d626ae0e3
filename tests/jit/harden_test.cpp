// Hardened code: nothing of the program's constants in it, no indirect jump or call but by a return.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "isa/asm.hpp"
#include "jit/compile.hpp"

#if defined(__x86_64__)
namespace skep::jit::testing {
namespace {

constexpr s32 constant = 0x5a3c9671;

bool contains(ByteView code, u32 value) {
  std::array<std::byte, 4> wanted{};
  std::memcpy(wanted.data(), &value, 4);
  return std::ranges::search(code, wanted).begin() != code.end();
}

/// Every form with a 32-bit constant that the kernel's bpf_jit_blind_insn() blinds, too.
std::vector<isa::Insn> with_constant(isa::Form form) {
  std::vector<isa::Insn> insns = {isa::encode(isa::Form::MOV64_X, 2, 10)};
  const isa::FormInfo& info = isa::info(form);
  const bool stores = info.family == isa::Family::st;
  isa::Insn insn = isa::encode(form, stores ? 10 : 2, 0, stores ? -8 : 0, constant);
  if (!info.off.any) insn.off = static_cast<s16>(info.off.value);
  insns.push_back(insn);
  if (form == isa::Form::LD_IMM64_IMM) insns.push_back({.imm = constant});
  insns.push_back(isa::encode(isa::Form::MOV64_K, 0, 0));
  insns.push_back(isa::encode(isa::Form::EXIT));
  return insns;
}

TEST(Harden, NoConstantOfTheProgramIsInTheCode) {
  u32 checked = 0;
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& info = isa::info(form);
    const bool takes = info.family == isa::Family::alu64 || info.family == isa::Family::alu32 ||
                       info.family == isa::Family::jcond64 || info.family == isa::Family::jcond32 ||
                       info.family == isa::Family::st || form == isa::Form::LD_IMM64_IMM;
    const u8 operation = isa::op_of(info.code);
    const bool shifts =
        (info.family == isa::Family::alu64 || info.family == isa::Family::alu32) &&
        (operation == isa::op::LSH || operation == isa::op::RSH || operation == isa::op::ARSH);
    if (!takes || !info.imm.any || shifts || isa::is_reg_source(info.code)) continue;
    if (form == isa::Form::ST_B || form == isa::Form::ST_H) continue;  // no four bytes to look for
    const auto insns = with_constant(form);
    const auto plain = compile_unverified(insns, {}, {.combine = false});
    const auto hardened = compile_unverified(insns, {}, {.harden = true});
    ASSERT_TRUE(plain && hardened) << info.name;
    EXPECT_TRUE(contains(plain->code(), constant)) << info.name;
    EXPECT_FALSE(contains(hardened->code(), constant)) << info.name;
    ++checked;
  }
  EXPECT_GT(checked, 40u);
}

TEST(Harden, EachCompilationBlindsDifferently) {
  const auto insns = with_constant(isa::Form::ADD64_K);
  const auto one = compile_unverified(insns, {}, {.harden = true});
  const auto other = compile_unverified(insns, {}, {.harden = true});
  ASSERT_TRUE(one && other);
  EXPECT_FALSE(std::ranges::equal(one->code(), other->code()));
}

/// ff /4 is the processor's indirect jump; the hardened tail call has a retpoline's pause and lfence instead.
TEST(Harden, TailCallsLeaveByARetpoline) {
  struct {
    std::byte map[maps::prog_array_count_offset]{};
    u64 count = 1;
    const Entry* slots[1]{};
  } array;
  void* maps[] = {&array};
  const vm::LinkTable links{.map_addresses = maps};
  const auto insns = isa::assemble("r2 = map 0; r3 = *(u64 *)(r1 +0); raw f500000000000000; r0 = 2; exit");
  ASSERT_TRUE(insns);
  const auto plain = compile_unverified(*insns, links, {.burst = false});
  const auto hardened = compile_unverified(*insns, links, {.burst = false, .harden = true});
  ASSERT_TRUE(plain && hardened);
  const std::array indirect{std::byte{0xff}, std::byte{0x20}};
  const std::array capture{std::byte{0xf3}, std::byte{0x90}, std::byte{0x0f}, std::byte{0xae},
                           std::byte{0xe8}};
  const auto has = [](ByteView code, const auto& bytes) {
    return std::ranges::search(code, bytes).begin() != code.end();
  };
  EXPECT_TRUE(has(plain->code(), indirect));
  EXPECT_FALSE(has(hardened->code(), indirect));
  EXPECT_TRUE(has(hardened->code(), capture));
}

}  // namespace
}  // namespace skep::jit::testing
#endif
