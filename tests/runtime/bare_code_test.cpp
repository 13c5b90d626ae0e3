// Bare instructions on memory: the recorded instruction tests on both engines, unverified and, where the
// verifier takes them, verified.
#include "runtime/bare_code.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/rcu.hpp"
#include "isa/asm.hpp"

namespace skep::runtime {
namespace {

using Memory = std::array<u64, 8>;

std::vector<isa::Insn> insns_of_hex(const std::string& hex) {
  std::vector<isa::Insn> insns(hex.size() / 16);
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto byte = static_cast<u8>(std::stoi(hex.substr(i, 2), nullptr, 16));
    std::memcpy(reinterpret_cast<char*>(insns.data()) + i / 2, &byte, 1);
  }
  return insns;
}

std::vector<isa::Insn> assembled(std::string_view text) {
  auto insns = isa::assemble(text);
  EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
  return insns ? *insns : std::vector<isa::Insn>();
}

class Bare : public ::testing::TestWithParam<bool> {
 protected:
  Bare() {
    Config config;
    config.no_jit = !GetParam();
    auto kernel = UserKernel::create(config);
    EXPECT_TRUE(kernel.has_value());
    kernel_ = std::move(*kernel);
  }
  Result<BareCode> trusted(std::span<const isa::Insn> insns, ProgType type = ProgType::syscall) {
    return BareCode::trusted(insns, type, GetParam());
  }
  Result<u64> run(const BareCode& code, std::span<std::byte> memory) {
    RunContext context = kernel_->run_context(0);
    return code.run(memory, context);
  }
  std::unique_ptr<UserKernel> kernel_;
  const rcu::Reader reader_;
};

/// A case of isa.json as a whole program: the operands from memory, R0 and the words behind it into memory.
std::vector<isa::Insn> whole(const nlohmann::json& c) {
  std::vector<isa::Insn> program = assembled(
      "r6 = r1\nr1 = *(u64 *)(r6 +0)\nr2 = *(u64 *)(r6 +8)\n"
      "r3 = *(u64 *)(r6 +24)\n");
  for (const isa::Insn& insn : insns_of_hex(c["insns"])) program.push_back(insn);
  for (const isa::Insn& insn : assembled("*(u64 *)(r6 +16) = r0\nexit")) program.push_back(insn);
  return program;
}

TEST_P(Bare, RecordedInstructionTests) {
  std::ifstream in(SKEP_GOLDEN_DIR "/isa.json");
  int ran = 0, verified = 0;
  for (const auto& c : nlohmann::json::parse(in)) {
    if (!c.contains("insns")) continue;
    SCOPED_TRACE(c["name"]);
    const auto number = [](const nlohmann::json& text) {
      return std::stoull(text.get<std::string>(), nullptr, 16);
    };
    const Memory before = {number(c["a"]), number(c["b"]), 0xdeadbeefdeadbeef, number(c["c"])};
    const std::vector<isa::Insn> program = whole(c);
    const auto check = [&](const BareCode& code) {
      Memory memory = before;
      const auto r0 = run(code, std::as_writable_bytes(std::span(memory)));
      ASSERT_TRUE(r0.has_value()) << r0.error().what;
      EXPECT_EQ(*r0, memory[2]);
      if (c["name"] == "may_goto bounded") return;  // the kernel's count depends on a clock
      EXPECT_EQ(*r0, number(c["r0"]));
      for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(memory[3 + i], number(c["mem"][i])) << i;
    };
    const auto code = trusted(program);
    ASSERT_TRUE(code.has_value()) << code.error().what;
    check(*code);
    ++ran;
    // As a syscall program's context the memory takes loads and stores, no atomic instructions.
    if (const auto judged = BareCode::verified(*kernel_, program, nullptr); judged) {
      check(*judged);
      ++verified;
    }
  }
  EXPECT_EQ(ran, 199);
  EXPECT_GT(verified, 150);
}

TEST_P(Bare, R1AndR2AreTheMemory) {
  const auto code = trusted(assembled("*(u8 *)(r1 +3) = 7\nr0 = r2\nexit"));
  ASSERT_TRUE(code.has_value()) << code.error().what;
  std::array<std::byte, 5> memory{};
  EXPECT_EQ(run(*code, memory).value_or(0), 5u);
  EXPECT_EQ(memory[3], std::byte{7});
  const auto nothing = trusted(assembled("r0 = r1\nr0 |= r2\nexit"));
  EXPECT_EQ(run(*nothing, {}).value_or(1), 0u);
}

TEST_P(Bare, CallsFunctionsAndHelpers) {
  const auto local = trusted(assembled("r1 = 5\ncall pc+1\nexit\nr0 = r1\nr0 *= 3\nexit"));
  ASSERT_TRUE(local.has_value()) << local.error().what;
  EXPECT_EQ(run(*local, {}).value_or(0), 15u);
  const auto helper = trusted(assembled("call 8\nexit"));  // bpf_get_smp_processor_id
  ASSERT_TRUE(helper.has_value()) << helper.error().what;
  EXPECT_EQ(run(*helper, {}).value_or(1), 0u);
  EXPECT_EQ(trusted(assembled("call 9999\nexit")).error().code, ENOENT);
  EXPECT_EQ(trusted(assembled("call 8\nexit"), ProgType::xdp).has_value(), true);
}

TEST_P(Bare, WhatIsNoProgramIsRefusedByInstruction) {
  const auto jump = trusted(assembled("r0 = 0\ngoto +7\nexit"));
  ASSERT_FALSE(jump.has_value());
  EXPECT_NE(jump.error().what.find('1'), std::string::npos) << jump.error().what;
  EXPECT_FALSE(trusted(std::vector<isa::Insn>{}).has_value());
  EXPECT_FALSE(trusted(std::vector<isa::Insn>{isa::Insn{.code = 0xff}}).has_value());
  EXPECT_FALSE(trusted(assembled("r0 = 0")).has_value());
}

TEST_P(Bare, VerifiedCodeStaysInItsMemory) {
  Log log;
  const auto code = BareCode::verified(*kernel_, assembled("r0 = *(u64 *)(r1 +8)\nexit"), &log);
  ASSERT_TRUE(code.has_value()) << log.text;
  Memory memory = {1, 0x123456789abcdef0};
  const auto bytes = std::as_writable_bytes(std::span(memory));
  EXPECT_EQ(run(*code, bytes).value_or(0), memory[1]);
  EXPECT_EQ(run(*code, bytes.first(15)).error().code, EINVAL);
  const auto wild = BareCode::verified(*kernel_, assembled("r0 = *(u64 *)(r2 +0)\nexit"), &log);
  ASSERT_FALSE(wild.has_value());
  EXPECT_NE(log.text.find("R2 !read_ok"), std::string::npos) << log.text;
}

INSTANTIATE_TEST_SUITE_P(Engines, Bare, ::testing::Bool(),
                         [](const auto& engine) { return engine.param ? "jit" : "interpreter"; });

}  // namespace
}  // namespace skep::runtime
