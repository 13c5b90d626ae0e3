// Bare instructions on memory of the caller: R1 is its address, R2 its size. No object, no packet. Either the
// verifier has seen them (as a syscall program, whose context the memory is) or the caller vouches for them.
#pragma once
#include <optional>
#include <span>

#include "jit/compile.hpp"
#include "runtime/user_kernel.hpp"
#include "vm/interpreter.hpp"

namespace skep::runtime {

class BareCode {
 public:
  /// Verified as a syscall program: the memory is its context, R2 is not readable. Nothing but what its
  /// verification read of the memory's start need be there at run(). Errors and log as prog_load() has them.
  static Result<BareCode> verified(UserKernel& kernel, std::span<const isa::Insn> insns, Log* log);

  /// NOT verified: instructions that the caller trusts as its own code. They read and write any address that
  /// they make, and may never end. Helpers are those of programs of `type`, called with whatever is in the
  /// registers; maps cannot be named. EINVAL names the first instruction that is none; ENOENT a helper
  /// without code; EOPNOTSUPP forms that stand for something else until a loader or the verifier rewrites
  /// them.
  static Result<BareCode> trusted(std::span<const isa::Insn> insns, ProgType type, bool jit);

  /// R0. EINVAL: verified code that reads beyond `memory`. Any number of threads, each with a context of its
  /// own.
  Result<u64> run(std::span<std::byte> memory, RunContext& context) const;

 private:
  BareCode() = default;
  UserKernel* kernel_ = nullptr;
  Handle program_;  ///< verified, or
  std::optional<vm::Code> interpreted_;
  std::optional<jit::Compiled> compiled_;
  const Callback* code_ = nullptr;  ///< in one of the two
};

}  // namespace skep::runtime
