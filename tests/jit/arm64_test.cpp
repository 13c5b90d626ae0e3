// The arm64 code itself, on every machine: the words that GNU as makes of the instructions that are meant.
// Running it is the business of the engine suites, under qemu where the machine is another.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "isa/asm.hpp"
#include "jit/arm64/emitter.hpp"
#include "jit/differential.hpp"

namespace skep::jit::testing {
namespace {

using isa::encode;
using isa::Form;

std::vector<u32> words_of(std::span<const isa::Insn> insns, const Options& options) {
  const auto program = vm::check(insns, {}, vm::rewritten_registers);
  EXPECT_TRUE(program.has_value()) << (program ? "" : program.error().what);
  if (!program) return {};
  Plan plan;
  make_plan(*program, {}, options, plan);
  const std::vector<Callback> callbacks(program->entries.size());
  arm64::Emitter emitter(*program, plan, options, callbacks, false);
  const auto emitted = emitter.run();
  EXPECT_TRUE(emitted.has_value()) << (emitted ? "" : emitted.error().what);
  std::vector<u32> words(emitter.code().size() / 4);
  std::memcpy(words.data(), emitter.code().data(), words.size() * 4);
  return words;
}

struct Said {
  isa::Insn insn;
  std::vector<u32> words;
  bool lse = true;
};

TEST(Arm64, SaysInWordsWhatGnuAsSays) {
  const std::vector<Said> cases = {
      {encode(Form::STORE_REL_DW, 1, 2), {0xc89ffc01}},      // stlr x1, [x0]
      {encode(Form::STORE_REL_W, 1, 3), {0x889ffc02}},       // stlr w2, [x0]
      {encode(Form::STORE_REL_H, 1, 3), {0x489ffc02}},       // stlrh w2, [x0]
      {encode(Form::STORE_REL_B, 1, 3), {0x089ffc02}},       // stlrb w2, [x0]
      {encode(Form::LOAD_ACQ_DW, 0, 1), {0xc8dffc07}},       // ldar x7, [x0]
      {encode(Form::LOAD_ACQ_H, 0, 1), {0x48dffc07}},        // ldarh w7, [x0]
      {encode(Form::ATOMIC_ADD64, 1, 2), {0xf821001f}},      // stadd x1, [x0]
      {encode(Form::ATOMIC_FETCH_AND32, 1, 2),               //
       {0x2a2103ea, 0xb8ea1001}},                            // mvn w10, w1; ldclral w10, w1, [x0]
      {encode(Form::ATOMIC_CMPXCHG64, 1, 2), {0xc8e7fc01}},  // casal x7, x1, [x0]
      {encode(Form::ATOMIC_CMPXCHG32, 0, 2),                 //
       {0xaa0703e9, 0x88e7fd21}},                            // mov x9, x7; casal w7, w1, [x9]
      {encode(Form::ATOMIC_XCHG32, 1, 2), {0xb8e18001}},     // swpal w1, w1, [x0]
      {encode(Form::ATOMIC_FETCH_ADD64, 1, 2),               // ldxr x10, [x0]; add x11, x10, x1
       {0xc85f7c0a, 0x8b01014b, 0xc80dfc0b},
       false},                                                       // stlxr w13, x11, [x0]
      {encode(Form::SMOD64_X, 2, 3), {0x9ac20c2a, 0x9b028541}},      // sdiv x10, x1, x2; msub x1, x10, x2, x1
      {encode(Form::DIV32_X, 2, 3), {0x1ac20821}},                   // udiv w1, w1, w2
      {encode(Form::LDXSX_W, 2, 1, -4), {0xb89fc001}},               // ldursw x1, [x0, #-4]
      {encode(Form::LDX_B, 2, 1, 4095), {0x397ffc01}},               // ldrb w1, [x0, #4095]
      {encode(Form::LDX_B, 2, 1, -5000), {0xd1400409, 0xd10e2129}},  // sub x9, x0, #4096; sub x9, x9, #904
      {encode(Form::MOV64_K, 2, 0, 0, -0x7fffffff - 1), {0xb26183e1}},  // mov x1, #0xffffffff80000000
      {encode(Form::MOV64_K, 2, 0, 0, -1), {0x92800001}},               // mov x1, #-1
      {encode(Form::MOV32_K, 2, 0, 0, -129), {0x12801001}},             // mov w1, #-129
      {encode(Form::JSGT64_K, 2, 0, 0, -5), {0xb100143f}},              // cmn x1, #5
  };
  for (const Said& said : cases) {
    const std::vector<isa::Insn> insns = {said.insn, encode(Form::EXIT)};
    const auto words = words_of(insns, {.cpu = {.lse = said.lse}});
    EXPECT_NE(std::search(words.begin(), words.end(), said.words.begin(), said.words.end()), words.end())
        << isa::disassemble(insns);
  }
}

/// More than the 1 MiB that a conditional jump spans on arm64, jumped over forward by each kind of jump, and
/// backward. Nothing of it runs; tail calls are the longest instructions.
TEST(Engines, AgreeWhereJumpsAreLong) {
  constexpr s16 run = 32700;
  std::vector<isa::Insn> insns = {encode(Form::MOV64_K, 0),
                                  encode(Form::MOV64_K, 3),
                                  encode(Form::MOV64_K, 2, 0, 0, 5),
                                  encode(Form::MUL64_K, 0, 0, 0, 3),  // head
                                  encode(Form::JEQ64_K, 3, 0, run + 3, 0),
                                  encode(Form::JSGT64_K, 3, 0, run + 3, 2),
                                  encode(Form::JSET32_K, 3, 0, run + 3, 2),
                                  encode(Form::JA, 0, 0, run + 3)};
  const s64 head = 3;
  insns.insert(insns.end(), run, encode(Form::TAIL_CALL));
  for (const s32 sum : {1, 10, 100, 1000}) insns.push_back(encode(Form::ADD64_K, 0, 0, 0, sum));
  insns.push_back(encode(Form::ADD64_K, 3, 0, 0, 1));
  insns.push_back(encode(Form::SUB64_K, 2, 0, 0, 1));
  insns.push_back(
      encode(Form::JNE64_K, 2, 0, static_cast<s16>(head - static_cast<s64>(insns.size()) - 1), 0));
  insns.push_back(encode(Form::EXIT));
  EXPECT_GT(words_of(insns, {}).size() * 4, u64{1} << 20);
  EXPECT_EQ(difference(insns), "");
}

TEST(Engines, AtomicsOfTwoThreadsLoseNothing) {
  const auto insns = isa::assemble(
      "r6 = 20000; head: r2 = 3; r2 = atomic64_fetch_add((u64 *)(r1 +0), r2); r3 = 1; lock *(u32 *)(r1 +8) "
      "+= r3; "
      "r0 = *(u64 *)(r1 +16); again: r4 = r0; r4 += 5; r5 = r0; r0 = atomic64_cmpxchg((u64 *)(r1 +16), r0, "
      "r4); if "
      "r0 != r5 goto again; r6 += -1; if r6 != 0 goto head; exit");
  ASSERT_TRUE(insns.has_value()) << insns.error().what;
  for (const Cpu& cpu : {Cpu::detect(), Cpu{}}) {
    const auto program = compile_unverified(*insns, {}, {.cpu = cpu});
    ASSERT_TRUE(program.has_value()) << program.error().what;
    alignas(64) u64 cells[3] = {};
    const auto run = [&] {
      RunContext rc;
      program->entry()(cells, &rc);
    };
    std::thread other(run);
    run();
    other.join();
    EXPECT_EQ(cells[0], 120000U);
    EXPECT_EQ(cells[1], 40000U);
    EXPECT_EQ(cells[2], 200000U);
  }
}

}  // namespace
}  // namespace skep::jit::testing
