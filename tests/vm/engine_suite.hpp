// One suite of instruction tests for every engine: the interpreter and the JIT instantiate it with
// themselves.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "isa/asm.hpp"
#include "isa/disasm.hpp"
#include "isa/form.hpp"
#include "isa/semantics.hpp"
#include "vm/link.hpp"

namespace skep::vm::testing {

/// A program made ready by an engine; owns what its entries point to.
struct Loaded {
  std::shared_ptr<void> owner;
  Entry entry;
  Entry tail_entry;
};
struct Engine {
  const char* name;
  Result<Loaded> (*load)(std::span<const isa::Insn>, const LinkTable&);
};

inline std::vector<isa::Insn> insns_of_hex(const std::string& hex) {
  std::vector<isa::Insn> result(hex.size() / 16);
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto byte = static_cast<u8>(std::stoi(hex.substr(i, 2), nullptr, 16));
    std::memcpy(reinterpret_cast<char*>(result.data()) + i / 2, &byte, 1);
  }
  return result;
}

class EngineTest : public ::testing::TestWithParam<Engine> {
 protected:
  Loaded load(std::span<const isa::Insn> insns, const LinkTable& links = {}) {
    auto loaded = GetParam().load(insns, links);
    EXPECT_TRUE(loaded.has_value()) << (loaded ? "" : loaded.error().what);
    return loaded ? *loaded : Loaded{};
  }
  Loaded load_text(std::string_view source, const LinkTable& links = {}) {
    const auto insns = isa::assemble(source);
    EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
    return insns ? load(*insns, links) : Loaded{};
  }
  u64 run_text(std::string_view source, void* ctx = nullptr, const LinkTable& links = {}) {
    const Loaded loaded = load_text(source, links);
    return loaded.entry.run == nullptr ? ~u64{0} : loaded.entry(ctx, &rc_);
  }
  RunContext rc_;
};

TEST_P(EngineTest, RewrittenCodeFindsTheNumberOfItsCpu) {
  rc_.cpu = 5;
  rc_.percpu_offset = 0x1000;
  const std::vector<isa::Insn> insns = {isa::encode(isa::Form::MOV64_K, 3, 0, 0, -0x7c4f1fcc),
                                        isa::encode(isa::Form::MOV_PERCPU, 3, 3),
                                        isa::encode(isa::Form::LDX_W, 0, 3), isa::encode(isa::Form::EXIT)};
  EXPECT_EQ(load(insns).entry(nullptr, &rc_), 5U);
  const std::vector<isa::Insn> other = {isa::encode(isa::Form::MOV64_K, 3, 0, 0, 8),
                                        isa::encode(isa::Form::MOV_PERCPU, 0, 3),
                                        isa::encode(isa::Form::EXIT)};
  EXPECT_EQ(load(other).entry(nullptr, &rc_), 0x1008U);
}

/// The guard that fixup puts before `r0 s/= r2`, with its hidden register.
TEST_P(EngineTest, RewrittenCodeHasItsHiddenRegister) {
  using isa::Form;
  const auto divide = [&](s64 dividend, s64 divisor) {
    const auto a = isa::encode_imm64(Form::LD_IMM64_IMM, 0, static_cast<u64>(dividend));
    const auto b = isa::encode_imm64(Form::LD_IMM64_IMM, 2, static_cast<u64>(divisor));
    const std::vector<isa::Insn> insns = {a[0],
                                          a[1],
                                          b[0],
                                          b[1],
                                          isa::encode(Form::MOV64_X, 11, 2),
                                          isa::encode(Form::ADD64_K, 11, 0, 0, 1),
                                          isa::encode(Form::JGT64_K, 11, 0, 4, 1),
                                          isa::encode(Form::JEQ64_K, 11, 0, 1, 0),
                                          isa::encode(Form::MOV64_K, 0, 0, 0, 0),
                                          isa::encode(Form::NEG64, 0),
                                          isa::encode(Form::JA, 0, 0, 1),
                                          isa::encode(Form::SDIV64_X, 0, 2),
                                          isa::encode(Form::EXIT)};
    return static_cast<s64>(load(insns).entry(nullptr, &rc_));
  };
  EXPECT_EQ(divide(-7, 2), -3);
  EXPECT_EQ(divide(7, 0), 0);
  EXPECT_EQ(divide(7, -1), -7);
  EXPECT_EQ(divide(INT64_MIN, -1), INT64_MIN);
}

TEST_P(EngineTest, ComputesWhatTheKernelComputedForEveryGoldenCase) {
  std::ifstream in(std::string(SKEP_GOLDEN_DIR) + "/isa.json");
  const auto cases = nlohmann::json::parse(in);
  int ran = 0, refused = 0;
  for (const auto& c : cases) {
    if (!c.contains("insns")) {
      ++refused;  // the verifier's business: the file has no bytes for these
      continue;
    }
    const auto number = [&](const char* key) { return std::stoull(c[key].get<std::string>(), nullptr, 16); };
    u64 memory[8] = {number("a"), number("b"), 0xdeadbeefdeadbeef, number("c"), 0, 0, 0, 0};
    const auto pointer = isa::encode_imm64(isa::Form::LD_IMM64_IMM, 6, reinterpret_cast<u64>(memory));
    std::vector<isa::Insn> program(pointer.begin(), pointer.end());
    program.push_back(isa::encode(isa::Form::LDX_DW, 1, 6, 0));
    program.push_back(isa::encode(isa::Form::LDX_DW, 2, 6, 8));
    program.push_back(isa::encode(isa::Form::LDX_DW, 3, 6, 24));
    for (const isa::Insn& insn : insns_of_hex(c["insns"])) program.push_back(insn);
    program.push_back(isa::encode(isa::Form::STX_DW, 6, 0, 16));
    program.push_back(isa::encode(isa::Form::MOV64_K, 0));
    program.push_back(isa::encode(isa::Form::EXIT));
    SCOPED_TRACE(c["name"]);
    const Loaded loaded = load(program);
    ASSERT_NE(loaded.entry.run, nullptr);
    EXPECT_EQ(loaded.entry(nullptr, &rc_), 0U);
    ++ran;
    if (c["name"] == "may_goto bounded") {  // the kernel's count depends on a clock
      EXPECT_GE(memory[2], 0xffffU);
      continue;
    }
    EXPECT_EQ(memory[2], number("r0"));
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_EQ(memory[3 + i], std::stoull(c["mem"][i].get<std::string>(), nullptr, 16)) << i;
  }
  EXPECT_EQ(ran, 199);
  EXPECT_EQ(ran + refused, 214);
}

constexpr u64 interesting[] = {0,
                               1,
                               2,
                               7,
                               31,
                               32,
                               33,
                               63,
                               64,
                               0x7f,
                               0x80,
                               0xff,
                               0x8000,
                               0xffff,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               0x100000000,
                               0x7fffffffffffffff,
                               0x8000000000000000,
                               0xffffffff80000000,
                               0xfffffffffffffffe,
                               0xffffffffffffffff,
                               0x1122334455667788};
constexpr s32 interesting_imm[] = {0,         1,    -1,  2,   3,     7,          8,
                                   16,        31,   32,  33,  63,    127,        128,
                                   -128,      -129, 255, 256, 65535, 0x7fffffff, -0x7fffffff - 1,
                                   0x12345678};

inline u64 expected_alu(isa::Form form, u64 a, u64 b) {
  const isa::FormInfo& f = isa::info(form);
  const bool wide = f.family == isa::Family::alu64;
  const u8 operation = isa::op_of(f.code);
  if (f.off.value == 1) {
    if (operation == isa::op::DIV)
      return wide ? isa::sdiv<u64>(a, b) : isa::sdiv<u32>(static_cast<u32>(a), static_cast<u32>(b));
    return wide ? isa::smod<u64>(a, b) : isa::smod<u32>(static_cast<u32>(a), static_cast<u32>(b));
  }
  return wide ? isa::alu<u64>(operation, a, b)
              : isa::alu<u32>(operation, static_cast<u32>(a), static_cast<u32>(b));
}

/// Loads all registers from memory at R1, runs one instruction, stores all registers back. R10 stays out.
inline std::vector<isa::Insn> around(const isa::Insn& insn, u64* memory) {
  std::vector<isa::Insn> program;
  const auto pointer = isa::encode_imm64(isa::Form::LD_IMM64_IMM, 1, reinterpret_cast<u64>(memory));
  program.assign(pointer.begin(), pointer.end());
  program.push_back(isa::encode(isa::Form::STX_DW, 10, 1, -8));
  for (const u8 r : std::initializer_list<u8>{0, 2, 3, 4, 5, 6, 7, 8, 9, 1})
    program.push_back(isa::encode(isa::Form::LDX_DW, r, 1, static_cast<s16>(8 * r)));
  program.push_back(insn);
  // A free register is needed for the pointer: keep R9 on the stack meanwhile.
  program.push_back(isa::encode(isa::Form::STX_DW, 10, 9, -16));
  program.push_back(isa::encode(isa::Form::LDX_DW, 9, 10, -8));
  for (u8 r = 0; r < 9; ++r) program.push_back(isa::encode(isa::Form::STX_DW, 9, r, static_cast<s16>(8 * r)));
  program.push_back(isa::encode(isa::Form::LDX_DW, 0, 10, -16));
  program.push_back(isa::encode(isa::Form::STX_DW, 9, 0, 72));
  program.push_back(isa::encode(isa::Form::EXIT));
  return program;
}

TEST_P(EngineTest, ArithmeticHoldsForEveryRegisterPairAndChangesNoOther) {
  u64 memory[10];
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& f = isa::info(form);
    if (f.family != isa::Family::alu64 && f.family != isa::Family::alu32) continue;
    for (u8 dst = 0; dst < 10; ++dst)
      for (u8 src = 0; src < (f.src.any ? 10 : 1); ++src) {
        const s32 imm = interesting_imm[(i + dst) % std::size(interesting_imm)];
        const Loaded loaded = load(around(isa::encode(form, dst, src, 0, imm), memory));
        ASSERT_NE(loaded.entry.run, nullptr);
        for (std::size_t k = 0; k < std::size(interesting); k += 1) {
          u64 want[10];
          for (std::size_t r = 0; r < 10; ++r)
            want[r] = memory[r] = interesting[(k * 7 + r * 5) % std::size(interesting)];
          const u64 b = f.src.any ? memory[src] : static_cast<u64>(static_cast<s64>(imm));
          want[dst] = expected_alu(form, memory[dst], b);
          loaded.entry(nullptr, &rc_);
          for (std::size_t r = 0; r < 10; ++r)
            ASSERT_EQ(memory[r], want[r])
                << f.name << " r" << +dst << ", r" << +src << " imm " << imm << ": r" << r << " k " << k;
        }
      }
  }
}

TEST_P(EngineTest, ArithmeticHoldsForEveryImmediateAndOperand) {
  u64 memory[10];
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& f = isa::info(form);
    if ((f.family != isa::Family::alu64 && f.family != isa::Family::alu32) || !f.imm.any) continue;
    for (const s32 imm : interesting_imm) {
      const u8 dst = static_cast<u8>(static_cast<u32>(imm) % 10);
      const Loaded loaded = load(around(isa::encode(form, dst, 0, 0, imm), memory));
      for (const u64 a : interesting) {
        for (u64& m : memory) m = 0x5555;
        memory[dst] = a;
        loaded.entry(nullptr, &rc_);
        ASSERT_EQ(memory[dst], expected_alu(form, a, static_cast<u64>(static_cast<s64>(imm))))
            << f.name << " " << imm << " on " << a;
      }
    }
  }
}

TEST_P(EngineTest, ConditionsHoldForEveryOperandPair) {
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& f = isa::info(form);
    const bool wide = f.family == isa::Family::jcond64;
    if (!wide && f.family != isa::Family::jcond32) continue;
    for (const s32 imm : interesting_imm) {
      if (f.src.any && imm != 0) break;
      const std::vector<isa::Insn> program = {
          isa::encode(isa::Form::LDX_DW, 2, 1, 0),     isa::encode(isa::Form::LDX_DW, 3, 1, 8),
          isa::encode(isa::Form::MOV32_K, 0, 0, 0, 1), isa::encode(form, 2, 3, 1, imm),
          isa::encode(isa::Form::MOV64_K, 0),          isa::encode(isa::Form::EXIT)};
      const Loaded loaded = load(program);
      for (const u64 a : interesting)
        for (const u64 b : interesting) {
          u64 operands[2] = {a, f.src.any ? b : static_cast<u64>(static_cast<s64>(imm))};
          const bool want =
              wide ? isa::cond<u64>(isa::op_of(f.code), a, operands[1])
                   : isa::cond<u32>(isa::op_of(f.code), static_cast<u32>(a), static_cast<u32>(operands[1]));
          ASSERT_EQ(loaded.entry(operands, &rc_), want) << f.name << " " << a << " " << operands[1];
        }
    }
  }
}

TEST_P(EngineTest, LoadsAndStoresReachEveryRegisterAndOffset) {
  alignas(8) u8 memory[4096];
  for (std::size_t i = 0; i < sizeof memory; ++i) memory[i] = static_cast<u8>(i * 37 + 0x81);
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& f = isa::info(form);
    const u32 bytes = isa::bytes_of_size(f.code);
    const bool is_load = f.family == isa::Family::ldx || f.family == isa::Family::ldxsx ||
                         f.family == isa::Family::probe || f.family == isa::Family::load_acquire;
    const bool is_store =
        f.family == isa::Family::stx || f.family == isa::Family::st || f.family == isa::Family::store_release;
    if (!is_load && !is_store) continue;
    for (u8 base = 0; base < 10; ++base)
      for (u8 other = 0; other < 10; ++other) {
        if (is_store && base == other) continue;
        const s16 off = static_cast<s16>((base * 10 + other - 50) * 8);
        std::vector<isa::Insn> program;
        const auto address =
            isa::encode_imm64(isa::Form::LD_IMM64_IMM, base, reinterpret_cast<u64>(memory + 2048));
        const auto value = isa::encode_imm64(isa::Form::LD_IMM64_IMM, other, 0x8899aabbccddeeff);
        if (is_store) program.insert(program.end(), value.begin(), value.end());
        program.insert(program.end(), address.begin(), address.end());
        if (is_load) {
          program.push_back(isa::encode(form, other, base, off));
          program.push_back(isa::encode(isa::Form::MOV64_X, 0, other));
        } else {
          program.push_back(isa::encode(form, base, other, off, -0x12345678));
        }
        program.push_back(isa::encode(isa::Form::EXIT));
        u8* at = memory + 2048 + off;
        u64 before = 0;
        std::memcpy(&before, at, 8);
        const u64 result = load(program).entry(nullptr, &rc_);
        if (is_load) {
          u64 want = isa::truncate(before, bytes * 8);
          const bool is_signed =
              f.family == isa::Family::ldxsx || isa::mode_of(f.code) == isa::op::PROBE_MEMSX;
          if (is_signed) want = isa::sign_extend(want, bytes * 8);
          ASSERT_EQ(result, want) << f.name << " r" << +other << " r" << +base << " " << off;
        } else {
          const u64 stored =
              f.family == isa::Family::st ? static_cast<u64>(-0x12345678LL) : 0x8899aabbccddeeff;
          u64 want = before, after = 0;
          std::memcpy(&want, &stored, bytes);
          std::memcpy(&after, at, 8);
          ASSERT_EQ(after, want) << f.name << " r" << +other << " r" << +base << " " << off;
          std::memcpy(at, &before, 8);
        }
      }
  }
}

TEST_P(EngineTest, ProbesThatFaultGiveZeroAndGoOn) {
  constexpr u64 nothing_there = 0x1230, not_canonical = 0x8000000000001000;
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    if (isa::info(form).family != isa::Family::probe) continue;
    for (u8 base = 0; base < 10; ++base)
      for (u8 to = 0; to < 10; ++to) {
        // The sum of all registers but R0: each keeps its number, only `to` becomes 0.
        std::vector<isa::Insn> program;
        u64 want = 0;
        const u64 address = (base + to) % 2 == 0 ? nothing_there : not_canonical;
        for (u8 r = 0; r < 10; ++r) {
          const u64 value = r == base ? address : u64{1} << (4 * r);
          const auto load_value = isa::encode_imm64(isa::Form::LD_IMM64_IMM, r, value);
          program.insert(program.end(), load_value.begin(), load_value.end());
          if (r != to) want += value;
        }
        program.push_back(isa::encode(form, to, base, static_cast<s16>(to * 100 - 500)));
        for (u8 r = 1; r < 10; ++r) program.push_back(isa::encode(isa::Form::ADD64_X, 0, r));
        program.push_back(isa::encode(isa::Form::EXIT));
        ASSERT_EQ(load(program).entry(nullptr, &rc_), want)
            << isa::info(form).name << " r" << +to << " r" << +base;
      }
  }
}

TEST_P(EngineTest, AtomicsHoldForEveryRegisterPair) {
  u64 memory[10];
  for (u32 i = 0; i < isa::form_count; ++i) {
    const auto form = static_cast<isa::Form>(i);
    const isa::FormInfo& f = isa::info(form);
    if (f.family != isa::Family::atomic) continue;
    const bool wide = isa::size_of(f.code) == isa::op::DW;
    const s32 operation = f.imm.value;
    for (u8 base = 0; base < 10; ++base)
      for (u8 src = 0; src < 10; ++src)
        for (const bool equal : {false, true}) {
          u64 cell = 0x8899aabbccddeeff;
          const Loaded loaded = load(around(isa::encode(form, base, src, 16), memory));
          u64 want[10];
          for (std::size_t r = 0; r < 10; ++r) want[r] = memory[r] = 0x1111111100000001 * (r + 1);
          if (equal) want[0] = memory[0] = wide ? cell : static_cast<u32>(cell);
          want[base] = memory[base] = reinterpret_cast<u64>(&cell) - 16;
          const u64 operand = memory[src], r0 = memory[0];
          u64 cell_after = 0;
          const u64 old = wide ? cell : static_cast<u32>(cell);
          if (operation == isa::op::CMPXCHG) {
            const bool same = wide ? r0 == old : static_cast<u32>(r0) == old;
            cell_after = same ? operand : old;
            want[0] = old;
          } else {
            cell_after =
                wide ? isa::atomic_result<u64>(operation, old, operand)
                     : isa::atomic_result<u32>(operation, static_cast<u32>(old), static_cast<u32>(operand));
            if (operation == isa::op::XCHG || (operation & isa::op::FETCH) != 0) want[src] = old;
          }
          if (!wide) cell_after = (cell & 0xffffffff00000000) | static_cast<u32>(cell_after);
          loaded.entry(nullptr, &rc_);
          ASSERT_EQ(cell, cell_after) << f.name << " r" << +base << " r" << +src;
          for (std::size_t r = 0; r < 10; ++r)
            ASSERT_EQ(memory[r], want[r]) << f.name << " base r" << +base << " src r" << +src << ": r" << r;
        }
  }
}

TEST_P(EngineTest, MovesSwapsAndExtensionsReachEveryRegister) {
  u64 memory[10];
  using isa::Form;
  const u64 value = 0x8192a3b4c5d6e7f8;
  for (u8 dst = 0; dst < 10; ++dst)
    for (u8 src = 0; src < 10; ++src)
      for (const auto& [form, want] :
           std::initializer_list<std::pair<Form, u64>>{{Form::MOVSX64_8, isa::sign_extend(value, 8)},
                                                       {Form::MOVSX64_16, isa::sign_extend(value, 16)},
                                                       {Form::MOVSX64_32, isa::sign_extend(value, 32)},
                                                       {Form::MOVSX32_8, 0xfffffff8},
                                                       {Form::MOVSX32_16, 0xffffe7f8},
                                                       {Form::ZEXT, 0xc5d6e7f8},
                                                       {Form::MOV_PERCPU, value + 0x1000},
                                                       {Form::LE16, 0xe7f8},
                                                       {Form::LE32, 0xc5d6e7f8},
                                                       {Form::LE64, value},
                                                       {Form::BE16, 0xf8e7},
                                                       {Form::BE32, 0xf8e7d6c5},
                                                       {Form::BE64, 0xf8e7d6c5b4a39281},
                                                       {Form::BSWAP16, 0xf8e7},
                                                       {Form::BSWAP32, 0xf8e7d6c5},
                                                       {Form::BSWAP64, 0xf8e7d6c5b4a39281}}) {
        const bool one_register = isa::info(form).family == isa::Family::end;
        if (one_register && src != dst) continue;
        for (std::size_t r = 0; r < 10; ++r) memory[r] = 0x0101010101010101 * r;
        memory[src] = value;
        rc_.percpu_offset = 0x1000;
        load(around(isa::encode(form, dst, src), memory)).entry(nullptr, &rc_);
        ASSERT_EQ(memory[dst], want) << isa::info(form).name << " r" << +dst << " r" << +src;
      }
}

inline u64 sum_of_arguments(u64 a, u64 b, u64 c, u64 d, u64 e, RunContext* rc) {
  return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * rc->cpu;
}
inline u64 call_twice(u64 callback, u64 argument, u64, u64, u64, RunContext* rc) {
  const auto* function = reinterpret_cast<const Callback*>(callback);
  return (*function)(1, argument, 3, 4, 5, rc) * 1000 + (*function)(2, argument, 3, 4, 5, rc);
}
inline HelperFn test_helper(ProgType, s32 id) {
  return id == 1 ? sum_of_arguments : id == 2 ? call_twice : nullptr;
}

TEST_P(EngineTest, CallsHelpersWithFiveArgumentsAndTheRunContext) {
  rc_.cpu = 7;
  EXPECT_EQ(
      run_text("r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call 1; exit", nullptr, {.helper = test_helper}),
      754321U);
  // Callee-saved registers and the stack live across the call.
  EXPECT_EQ(run_text("r6 = 6; r7 = 7; r8 = 8; r9 = 9; *(u64 *)(r10 -8) = 5; r1 = 0; r2 = 0; r3 = 0; r4 = 0; "
                     "r5 = 0; call 1;"
                     "r6 += r7; r6 += r8; r6 += r9; r0 = *(u64 *)(r10 -8); r0 += r6; exit",
                     nullptr, {.helper = test_helper}),
            35U);
}

TEST_P(EngineTest, RefusesAHelperWithoutImplementationByNumber) {
  const auto insns = isa::assemble("call 77; exit");
  const auto loaded = GetParam().load(*insns, {.helper = test_helper});
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ENOENT);
  EXPECT_EQ(loaded.error().what, "instruction 0: helper 77 has no implementation");
}

TEST_P(EngineTest, RefusesWhatExistsOnlyBeforeTheFixups) {
  for (const char* source : {"ldabs u8 0; exit", "ldind u16 r7 2; exit", "kfunc 5; exit", "r1 = btf 3; exit",
                             "r0 = addr_space_cast(r1, 0, 1); exit"}) {
    const auto insns = isa::assemble(source);
    ASSERT_TRUE(insns.has_value()) << source;
    const auto loaded = GetParam().load(*insns, {});
    ASSERT_FALSE(loaded.has_value()) << source;
    EXPECT_EQ(loaded.error().code, EOPNOTSUPP) << source;
  }
}

TEST_P(EngineTest, GivesEachFunctionItsOwnFrameAndKeepsTheCallersRegisters) {
  EXPECT_EQ(run_text(R"(
      r6 = 1; r7 = 2; r8 = 3; r9 = 4
      *(u64 *)(r10 -512) = 100
      *(u64 *)(r10 -8) = 10
      r1 = 5
      callf f
      r0 += r6; r0 += r7; r0 += r8; r0 += r9
      r1 = *(u64 *)(r10 -8)
      r0 += r1
      r1 = *(u64 *)(r10 -512)
      r0 += r1
      exit
    f:
      r6 = 1000; r7 = 1000; r8 = 1000; r9 = 1000
      *(u64 *)(r10 -8) = 7777
      *(u64 *)(r10 -512) = 7777
      r0 = r1
      if r1 == 0 goto out
      r1 -= 1
      callf g
    out:
      exit
    g:
      r9 = 9
      *(u64 *)(r10 -8) = r1
      r0 = *(u64 *)(r10 -8)
      r0 *= 2
      exit)"),
            8U + 10 + 10 + 100);
}

TEST_P(EngineTest, PassesPointersIntoTheCallersFrame) {
  EXPECT_EQ(run_text(R"(
      *(u32 *)(r10 -4) = 40
      r1 = r10
      r1 += -4
      callf f
      r0 = *(u32 *)(r10 -4)
      exit
    f:
      r2 = *(u32 *)(r1 +0)
      r2 += 2
      *(u32 *)(r1 +0) = r2
      exit)"),
            42U);
}

TEST_P(EngineTest, NestsEightFramesAndRefusesNineAndRecursion) {
  std::string eight, nine;
  for (int frames : {8, 9}) {
    std::string source;
    for (int i = 0; i < frames; ++i) {
      source += "f" + std::to_string(i) + ":\n*(u64 *)(r10 -8) = " + std::to_string(i) + "\n";
      source += i + 1 < frames ? "callf f" + std::to_string(i + 1) + "\n" : std::string("r0 = 0\n");
      source += "r1 = *(u64 *)(r10 -8)\nr0 += r1\nexit\n";
    }
    (frames == 8 ? eight : nine) = source;
  }
  EXPECT_EQ(run_text(eight), 28U);
  EXPECT_EQ(GetParam().load(*isa::assemble(nine), {}).error().code, E2BIG);
  EXPECT_EQ(GetParam().load(*isa::assemble("callf f; exit; f: callf f; exit"), {}).error().code, E2BIG);
}

TEST_P(EngineTest, HelpersCallSubprogramsBack) {
  EXPECT_EQ(run_text(R"(
      *(u64 *)(r10 -8) = 30
      r6 = 1
      r1 = func cb
      r2 = r10
      r2 += -8
      call 2
      r0 += r6
      exit
    cb:
      r6 = *(u64 *)(r2 +0)
      r0 = r6
      r0 += r1
      r0 += r5
      r6 += 1
      *(u64 *)(r2 +0) = r6
      exit)",
                     nullptr, {.helper = test_helper}),
            36U * 1000 + 38 + 1);
}

/// A callback that has itself called another back, on its own stack frame, and makes a local call.
TEST_P(EngineTest, CallbacksNestAndCallSubprograms) {
  EXPECT_EQ(run_text(R"(
      *(u64 *)(r10 -8) = 5
      r6 = 100
      r1 = func outer
      r2 = r10
      r2 += -8
      call 2
      r0 += r6
      exit
    outer:
      r6 = r2
      r7 = *(u64 *)(r2 +0)
      *(u64 *)(r10 -16) = r7
      r1 = func inner
      r2 = r10
      r2 += -16
      call 2
      r1 = *(u64 *)(r6 +0)
      r1 += 1
      *(u64 *)(r6 +0) = r1
      r0 %= 7
      r0 += r7
      exit
    inner:
      r6 = r2
      callf add
      r1 = *(u64 *)(r6 +0)
      r1 += r0
      *(u64 *)(r6 +0) = r1
      r0 = r1
      exit
    add:
      *(u64 *)(r10 -8) = r1
      r0 = *(u64 *)(r10 -8)
      r0 += 10
      exit)",
                     nullptr, {.helper = test_helper}),
            // outer runs with 5, then 6; inner makes n of n + 11, then n + 23
            (((16 * 1000 + 28) % 7) + 5) * 1000 + ((17 * 1000 + 29) % 7) + 6 + 100U);
}

TEST_P(EngineTest, JumpsBackAndForthAndFarAndByThe32BitOffset) {
  EXPECT_EQ(run_text("r0 = 0; r1 = 10; loop: r0 += r1; r1 -= 1; if r1 != 0 goto loop; exit"), 55U);
  EXPECT_EQ(run_text("r0 = 7; gotol over; r0 = 9; over: exit"), 7U);
  std::string far = "r0 = 0\ngotol end\nback: r0 += 1\nexit\n";
  for (int i = 0; i < 40000; ++i) far += "r0 += 5\n";
  far += "end:\ngotol back\n";
  EXPECT_EQ(run_text(far), 1U);
}

TEST_P(EngineTest, MayGotoEndsAnEndlessLoop) {
  EXPECT_EQ(run_text("r0 = 0; loop: may_goto out; r0 += 1; goto loop; out: exit"), may_goto_budget);
}

TEST_P(EngineTest, LoadsMapAndValueAddresses) {
  int map = 0;
  u64 values[4] = {1, 2, 3, 4};
  void* maps[] = {nullptr, &map};
  void* firsts[] = {nullptr, values};
  const LinkTable links{.map_addresses = maps, .values_addresses = firsts};
  EXPECT_EQ(run_text("r0 = map 1; exit", nullptr, links), reinterpret_cast<u64>(&map));
  EXPECT_EQ(run_text("r1 = mapval 1 + 16; r0 = *(u64 *)(r1 +0); exit", nullptr, links), 3U);
  EXPECT_EQ(GetParam().load(*isa::assemble("r1 = map 2; exit"), links).error().what,
            "instruction 0: map 2 is not linked");
  EXPECT_EQ(GetParam().load(*isa::assemble("r1 = mapval 0; exit"), links).error().code, EINVAL);
}

/// A program array as engines see it.
struct TailArray {
  std::byte map[maps::prog_array_count_offset]{};
  u64 count = 3;
  const Entry* slots[3]{};
};
static_assert(offsetof(TailArray, slots) == maps::prog_array_slots_offset);

TEST_P(EngineTest, TailCallsReplaceTheProgramUpToThirtyThreeTimes) {
  TailArray array;
  void* maps[] = {&array};
  const LinkTable links{.map_addresses = maps};
  const Loaded self = load_text(
      "r6 = *(u64 *)(r1 +0); r6 += 1; *(u64 *)(r1 +0) = r6; r2 = map 0; r3 = 0; raw f500000000000000; r0 = "
      "42; exit",
      links);
  array.slots[0] = &self.tail_entry;
  u64 executions = 0;
  EXPECT_EQ(self.entry(&executions, &rc_), 42U);
  EXPECT_EQ(executions, 34U);
  executions = 0;
  EXPECT_EQ(self.entry(&executions, &rc_), 42U);
  EXPECT_EQ(executions, 34U);
}

TEST_P(EngineTest, TailCallsThatGoNowhereCountNothing) {
  TailArray array;
  void* maps[] = {&array};
  const LinkTable links{.map_addresses = maps};
  const Loaded target = load_text("r0 = 5; exit", links);
  array.slots[1] = &target.tail_entry;
  // 40 misses, then a hit; the index comes from two ways, so no engine knows it beforehand.
  EXPECT_EQ(
      run_text("r6 = r1; r7 = 40; l: r1 = r6; r2 = map 0; r3 = 0; raw f500000000000000; r7 += -1; if r7 "
               "!= 0 goto l; r1 = r6; r2 = map 0; r3 = 1; if r7 == 0 goto j; r3 = 2; j: raw "
               "f500000000000000; r0 = 9; exit",
               nullptr, links),
      5U);
}

TEST_P(EngineTest, TailCallsFallThroughAnEmptySlotAndReturnFromASubprogram) {
  TailArray array;
  void* maps[] = {&array};
  const LinkTable links{.map_addresses = maps};
  const Loaded target = load_text("r0 = 5; exit", links);
  array.slots[1] = &target.tail_entry;
  EXPECT_EQ(run_text("r2 = map 0; r3 = 2; raw f500000000000000; r0 = 9; exit", nullptr, links), 9U);
  EXPECT_EQ(run_text("r2 = map 0; r3 = 99; raw f500000000000000; r0 = 9; exit", nullptr, links), 9U);
  EXPECT_EQ(run_text("r2 = map 0; r3 = 0x100000001 ll; raw f500000000000000; r0 = 9; exit", nullptr, links),
            5U);
  // Indices that only the run knows.
  u64 index = 1;
  const char* dynamic = "r3 = *(u64 *)(r1 +0); r2 = map 0; raw f500000000000000; r0 = 9; exit";
  EXPECT_EQ(run_text(dynamic, &index, links), 5U);
  index = 0x100000001;
  EXPECT_EQ(run_text(dynamic, &index, links), 5U);
  for (const u64 empty : {u64{0}, u64{2}, u64{3}, u64{0xffffffff}}) {
    index = empty;
    EXPECT_EQ(run_text(dynamic, &index, links), 9U);
  }
  EXPECT_EQ(run_text("r6 = 100; r7 = 1; callf f; r0 += r6; r0 += r7; exit; f: r6 = 0; r7 = 0; *(u64 *)(r10 "
                     "-8) = 1; r2 = map 0; r3 = 1; raw f500000000000000; r0 = 9; exit",
                     nullptr, links),
            106U);
}

TEST_P(EngineTest, RunsReentrantlyFromAHelper) {
  static Entry inner;
  const Loaded leaf = load_text("r0 = 3; *(u64 *)(r10 -8) = r0; r0 = *(u64 *)(r10 -8); exit");
  inner = leaf.entry;
  const HelperFn run_inner = [](u64, u64, u64, u64, u64, RunContext* rc) -> u64 {
    return inner(nullptr, rc);
  };
  static HelperFn chosen;
  chosen = run_inner;
  EXPECT_EQ(run_text("*(u64 *)(r10 -8) = 4; call 1; r1 = *(u64 *)(r10 -8); r0 += r1; exit", nullptr,
                     {.helper = [](ProgType, s32) { return chosen; }}),
            7U);
}

}  // namespace skep::vm::testing
