// Loads through pointers that may be any number (kernel: BPF_PROBE_MEM): what cannot be read is 0. The load
// is tried; if it faults, the handler of that signal goes on behind it, as the kernel does by its exception
// table.
#pragma once
#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::vm {

/// From now on SIGSEGV and SIGBUS of probes are no faults; others go to who had these signals before. Once a
/// process; later calls change nothing. What sigaction answers.
Result<void> survive_probes();

/// For a handler of SIGSEGV or SIGBUS, before it does anything else: if a probe faulted, `context` (a
/// ucontext_t) is set to go on behind it. Takes no lock, allocates nothing.
[[nodiscard]] bool recover_probe(void* context);

/// What knows the probes of machine code: sets `context` to go on if there is one at `pc`. Called as
/// recover_probe() is. One a process.
void set_code_recovery(bool (*recover)(u64 pc, void* context));

/// The instruction pointer of a ucontext_t; 0 on processors that skep has no machine code for.
[[nodiscard]] u64 program_counter(const void* context);
/// Has the code that a ucontext_t interrupted go on at `pc`; nothing on those processors.
void go_on_at(void* context, u64 pc);

namespace detail {
/// A probe in this program's own code, in bytes from each field's own address.
struct ProbeSite {
  s32 load, next;
};
}  // namespace detail

/// What stands at `from`, zero-extended, or 0.
template <class U>
u64 probe(const void* from) {
#define SKEP_PROBE_SITE                    \
  "2:\n"                                   \
  ".pushsection skep_probe_sites, \"a\"\n" \
  ".balign 4\n"                            \
  ".long 1b - .\n"                         \
  ".long 2b - .\n"                         \
  ".popsection"
  u64 value;
#if defined(__x86_64__)
  if constexpr (sizeof(U) == 1)
    asm volatile("xor %k0, %k0\n1: movzbl (%1), %k0\n" SKEP_PROBE_SITE
                 : "=&r"(value)
                 : "r"(from)
                 : "cc", "memory");
  else if constexpr (sizeof(U) == 2)
    asm volatile("xor %k0, %k0\n1: movzwl (%1), %k0\n" SKEP_PROBE_SITE
                 : "=&r"(value)
                 : "r"(from)
                 : "cc", "memory");
  else if constexpr (sizeof(U) == 4)
    asm volatile("xor %k0, %k0\n1: movl (%1), %k0\n" SKEP_PROBE_SITE
                 : "=&r"(value)
                 : "r"(from)
                 : "cc", "memory");
  else
    asm volatile("xor %k0, %k0\n1: movq (%1), %0\n" SKEP_PROBE_SITE
                 : "=&r"(value)
                 : "r"(from)
                 : "cc", "memory");
#elif defined(__aarch64__)
  if constexpr (sizeof(U) == 1)
    asm volatile("mov %0, #0\n1: ldrb %w0, [%1]\n" SKEP_PROBE_SITE : "=&r"(value) : "r"(from) : "memory");
  else if constexpr (sizeof(U) == 2)
    asm volatile("mov %0, #0\n1: ldrh %w0, [%1]\n" SKEP_PROBE_SITE : "=&r"(value) : "r"(from) : "memory");
  else if constexpr (sizeof(U) == 4)
    asm volatile("mov %0, #0\n1: ldr %w0, [%1]\n" SKEP_PROBE_SITE : "=&r"(value) : "r"(from) : "memory");
  else
    asm volatile("mov %0, #0\n1: ldr %0, [%1]\n" SKEP_PROBE_SITE : "=&r"(value) : "r"(from) : "memory");
#else
  static_assert(sizeof(U) == 0, "a probe is written for each processor");
#endif
#undef SKEP_PROBE_SITE
  return value;
}

}  // namespace skep::vm
