// Where bpf_throw() lands: at the entry of the program that throws, whose exception callback then gives the
// result (kernel: bpf_throw(), struct bpf_prog_aux.exception_boundary).
#pragma once
#include <setjmp.h>

#include "helpers/run_context.hpp"

namespace skep {

/// One run of a program that may throw. Between run_catching() and bpf_throw() stand frames of programs only:
/// the verifier lets no callback throw.
struct Landing {
  jmp_buf where;
  u64 cookie = 0;
  Landing* outer = nullptr;
};

/// Runs `inner`; if it throws, the result is `on_exception(cookie)`.
u64 run_catching(const Entry& inner, const Callback& on_exception, void* ctx, RunContext* run);

}  // namespace skep
