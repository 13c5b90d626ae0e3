// The interpreter: threaded dispatch over pre-decoded operands. The reference of all engines and the
// fallback where there is no JIT.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "fixup/translate.hpp"
#include "helpers/run_context.hpp"
#include "vm/link.hpp"

namespace skep::vm {

/// A program ready to interpret.
class Code {
 public:
  Code(Code&&) noexcept;
  Code& operator=(Code&&) noexcept;
  ~Code();
  /// For hooks: runs this Code, which must outlive the Entry.
  [[nodiscard]] Entry entry() const;
  /// For program arrays: as entry(), but the run goes on counting tail calls where its caller stood.
  [[nodiscard]] Entry tail_entry() const;

  /// The function that bpf_throw() ends in; nullptr: the program does not throw.
  [[nodiscard]] const Callback* exception_callback() const;

 private:
  friend Result<Code> prepare(const fixup::Translated&, const LinkTable&);
  friend Result<Code> prepare_unverified(std::span<const isa::Insn>, const LinkTable&);
  friend u64 run(const Code&, void*, RunContext*);
  Code();
  struct Impl;
  static u64 enter(const void* self, void* ctx, RunContext* rc);
  static u64 enter_by_tail_call(const void* self, void* ctx, RunContext* rc);
  std::unique_ptr<Impl> impl_;
};

/// EINVAL or EOPNOTSUPP naming the instruction that cannot run, ENOENT a helper that has no implementation.
[[nodiscard]] Result<Code> prepare(const fixup::Translated& program, const LinkTable& links);
/// For tests of the instruction set and trusted code only: no verifier has seen it.
[[nodiscard]] Result<Code> prepare_unverified(std::span<const isa::Insn> insns, const LinkTable& links);

/// Runs to `exit`; the result is R0. `ctx` is R1. Tail calls are counted from zero.
u64 run(const Code& code, void* ctx, RunContext* rc);

}  // namespace skep::vm
