// Faults inside machine code are told with program, instruction and line; a stack that overflows faults.
#include "jit/fault.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "base/fault_stack.hpp"
#include "isa/asm.hpp"
#include "jit/compile.hpp"
#include "vm/probe.hpp"

namespace skep::jit::testing {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SKEP_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKEP_SANITIZED
#endif
class FaultDeathTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef SKEP_SANITIZED
    GTEST_SKIP() << "a sanitizer has the signals, and ends the process in its own way";
#endif
  }
};

/// In a death test's child: runs the program with reports on.
void run(const char* source, const vm::LinkTable& links = {}) {
  const FaultStack stack;
  const auto insns = isa::assemble(source);
  auto compiled = compile_unverified(*insns, links);
  if (!insns || !compiled || !report_faults()) _exit(3);
  compiled->identify({.program = "program 7 'broken'",
                      .owner = nullptr,
                      .source = [](const void*, u32 insn, char* text, std::size_t size) -> std::size_t {
                        constexpr std::string_view line = "broken.bpf.c:12: return *p;";
                        if (insn != 2) return 0;
                        return line.copy(text, size);
                      }});
  RunContext rc;
  compiled->entry()(nullptr, &rc);
  _exit(0);
}

TEST_F(FaultDeathTest, TellsProgramInstructionAndLine) {
  EXPECT_EXIT(
      run("r1 = 0x1230; r2 = 1; r0 = *(u64 *)(r1 +4); exit"), ::testing::KilledBySignal(SIGSEGV),
      "skep: SIGSEGV at address 0x1234 in the machine code of program 7 'broken', offset 0x[0-9a-f]+, "
      "instruction 2, broken.bpf.c:12: return \\*p; \\(a bug of skep: please report it with the program\\)");
}

TEST_F(FaultDeathTest, EndsTheProcessHoweverOftenReportsWereAskedFor) {
  const auto fault = [] {
    // Probes' handler hands on to the reports' one, which must not be put over it again.
    if (!report_faults() || !vm::survive_probes()) _exit(3);
    ::alarm(10);
    run("r1 = 0; r0 = *(u64 *)(r1 +4); exit");
  };
  EXPECT_EXIT(fault(), ::testing::KilledBySignal(SIGSEGV), "program 7 'broken'");
}

TEST_F(FaultDeathTest, TellsTheInstructionWithoutALine) {
  EXPECT_EXIT(run("r1 = 0; *(u8 *)(r1 +0) = 1; r0 = 0; exit"), ::testing::KilledBySignal(SIGSEGV),
              "in the machine code of program 7 'broken', offset 0x[0-9a-f]+, instruction 1 \\(a bug");
}

/// Calls the callback back, which calls this again: frames without end.
u64 again(u64 callback, u64, u64, u64, u64, RunContext* rc) {
  return (*reinterpret_cast<const Callback*>(callback))(callback, 0, 0, 0, 0, rc);  // NOLINT: as helpers do
}

/// What a frame reaches below its stack pointer is less than the guard page of the thread's stack, so that
/// none steps over it: the program faults there and corrupts nothing.
TEST_F(FaultDeathTest, AStackThatOverflowsFaultsAtItsGuardPage) {
  const vm::LinkTable links{.helper = [](ProgType, s32) -> HelperFn { return again; }};
  EXPECT_EXIT(
      run("r1 = func cb; call 1; exit; cb: *(u64 *)(r10 -512) = 1; r1 = func cb; call 1; exit", links),
      ::testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(FaultDeathTest, SaysNothingOfFaultsElsewhere) {
#if defined(__aarch64__)
  GTEST_SKIP() << "qemu-user ends the process in its own way";
#endif
  EXPECT_EXIT(
      {
        if (!report_faults()) _exit(3);
        raise(SIGSEGV);
        _exit(0);
      },
      ::testing::KilledBySignal(SIGSEGV), "^$");
}

TEST_F(FaultDeathTest, ProgramsThatAreGoneAreForgotten) {
  EXPECT_EXIT(
      {
        for (int i = 0; i < 1000; ++i) {
          auto compiled = compile_unverified(*isa::assemble("r0 = 1; exit"), {});
          compiled->identify({.program = "gone", .owner = nullptr, .source = nullptr});
        }
        run("r1 = 0; *(u8 *)(r1 +0) = 1; r0 = 0; exit");
      },
      ::testing::KilledBySignal(SIGSEGV), "program 7 'broken'");
}

}  // namespace
}  // namespace skep::jit::testing
