// BPF_PROG_TEST_RUN: a program run on given bytes (net/bpf/test_run.c). Rules and layout are the kernel's:
// 256 bytes of headroom, a page for the linear part, what is longer stands in fragments.
#pragma once
#include "helpers/run_context.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {

/// `run` is the context to run with; `counted`: also into the program's statistics. ENOTSUPP for program
/// types that the kernel cannot test-run, EOPNOTSUPP for those skep cannot.
[[nodiscard]] Result<TestRunResult> test_run(const Program& program, const TestRunSpec& spec, RunContext run,
                                             bool counted);

}  // namespace skep::runtime
