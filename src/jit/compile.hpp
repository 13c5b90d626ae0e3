// The JIT: a program that passed the verifier and the fixups becomes machine code, of x86-64 or of arm64
// (arm64/emitter.hpp has its conventions).
//
// On x86-64 BPF registers live in machine registers (R0..R10: rax rdi rsi rdx rcx r8 rbx r13 r14 r15 rbp, the
// kernel's assignment), the run context in r12; r9, r10 and r11 are scratch. plan.hpp decides what to emit,
// emitter.hpp emits it.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "fixup/translate.hpp"
#include "helpers/burst.hpp"
#include "vm/link.hpp"

namespace skep::jit {

class CodePool;
struct CodeIdentity;

/// What the processor offers beyond plain x86-64, or beyond ARMv8.0.
struct Cpu {
  bool bmi2 = false;   ///< x86-64: shlx, rorx
  bool movbe = false;  ///< x86-64: byte-swapping loads and stores
  bool lse = false;    ///< arm64: atomic instructions (ldadd, swp, cas)
  static Cpu detect();
};

struct Options {
  Cpu cpu = Cpu::detect();
  /// Combine instructions (plan.hpp). Off: one instruction after the other, as tests compare.
  bool combine = true;
  /// Make burst_entry() machine code, too. Off: it calls entry() for each context.
  bool burst = true;
  /// No constant of the program appears in the code as it is, and no indirect jump is predicted: against
  /// programs that are meant to be misused through code injection or branch prediction. Costs time.
  bool harden = false;
  /// Where the code goes; without one it has pages of its own.
  std::shared_ptr<CodePool> pool = nullptr;
};

/// Where a subprogram's code stands, in bytes from the start of Compiled::code().
struct SubprogCode {
  u32 first_insn = 0;
  u32 offset = 0;
  u32 length = 0;
};

/// Machine code ready to run, with its memory.
class Compiled {
 public:
  Compiled(Compiled&&) noexcept;
  Compiled& operator=(Compiled&&) noexcept;
  ~Compiled();

  /// For hooks; the Compiled must outlive it.
  [[nodiscard]] Entry entry() const;
  /// Many contexts through one call.
  [[nodiscard]] BurstEntry burst_entry() const;
  /// For program arrays: as entry(), but the run goes on counting tail calls where its caller stood.
  [[nodiscard]] Entry tail_entry() const;
  /// The function that bpf_throw() ends in; nullptr: the program does not throw.
  [[nodiscard]] const Callback* exception_callback() const;
  [[nodiscard]] ByteView code() const;
  /// In the order of the program; [0] is the main program.
  [[nodiscard]] std::span<const SubprogCode> subprogs() const;
  /// For each instruction slot the offset of its machine code (of the instruction it was combined with,
  /// where it was).
  [[nodiscard]] std::span<const u32> insn_offsets() const;
  /// Faults inside the code are reported under this name (fault.hpp). Once.
  void identify(CodeIdentity identity);

 private:
  friend class Builder;  // inside the room
  struct Impl;
  Compiled();
  std::unique_ptr<Impl> impl_;
};

/// EOPNOTSUPP on a machine that is neither x86-64 nor arm64; E2BIG for code that no jump spans; otherwise
/// errors as vm::check() has them, or ENOMEM.
[[nodiscard]] Result<Compiled> compile(const fixup::Translated& program, const vm::LinkTable& links,
                                       const Options& options = {});
/// For tests of the instruction set and trusted code only: no verifier has seen it. 512 bytes of stack a
/// frame.
[[nodiscard]] Result<Compiled> compile_unverified(std::span<const isa::Insn> insns,
                                                  const vm::LinkTable& links, const Options& options = {});

}  // namespace skep::jit
