// Faults inside machine code: a bug of ours, which is said with program, instruction and source line before
// the process ends as it would have.
#pragma once
#include <cstddef>
#include <span>
#include <string>

#include "base/result.hpp"
#include "base/types.hpp"
#include "jit/emitted.hpp"

namespace skep::jit {

/// Whose code it is, as a report has it.
struct CodeIdentity {
  std::string program;  ///< "xdp program 12 'filter'"
  const void* owner = nullptr;
  /// Writes at most `size` bytes of "file.c:12: text" for an instruction of `owner`, and says how many: 0 if
  /// its line is not known. Called inside a signal handler: no allocation, no lock.
  std::size_t (*source)(const void* owner, u32 insn, char* text, std::size_t size) = nullptr;
};

/// From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP inside machine code write a line on standard
/// error. What was done about the signal before is done afterwards: the program's state and whatever it had
/// locked cannot be made good, so its process ends. Once a process; later calls change nothing.
Result<void> report_faults();

namespace detail {
/// One program's code, as the handler looks for it.
struct CodeRange {
  u64 begin = 0, end = 0;
  const u32* insn_offsets = nullptr;
  u32 insns = 0;
  u32 functions_end = 0;  ///< behind it: entries that belong to no instruction
  std::span<const Probe> probes;
  CodeIdentity identity;
};
/// `range` stands still until remove_range(). Thread-safe.
void add_range(const CodeRange& range);
void remove_range(const CodeRange& range);
}  // namespace detail

}  // namespace skep::jit
