// The interpreter: threaded dispatch over pre-decoded operands. The reference of all engines and the
// fallback where there is no JIT.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "fixup/translate.hpp"
#include "helpers/run_context.hpp"

namespace skep::vm {

/// Addresses that a program's symbols stand for, given by the runtime; the same for every engine.
struct LinkTable {
  std::span<void* const> map_addresses;     ///< Map*, parallel to Translated::maps()
  std::span<void* const> values_addresses;  ///< first value of an array map, or nullptr
  HelperFn (*helper)(s32 id) = nullptr;     ///< helper or fixup::InternalFn
};

struct Op;  ///< one pre-decoded instruction

/// A program ready to interpret.
class Code {
 public:
  Code(Code&&) noexcept;
  Code& operator=(Code&&) noexcept;
  ~Code();
  /// For hooks: runs this Code, which must outlive the Entry.
  [[nodiscard]] Entry entry() const;

 private:
  friend Result<Code> prepare(const fixup::Translated&, const LinkTable&);
  friend Result<Code> prepare_unverified(std::span<const isa::Insn>, const LinkTable&);
  friend u64 run(const Code&, void*, RunContext*);
  Code();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// ENOENT naming a helper that has no implementation.
[[nodiscard]] Result<Code> prepare(const fixup::Translated& program, const LinkTable& links);
/// For tests of the instruction set and trusted code only: no verifier has seen it.
[[nodiscard]] Result<Code> prepare_unverified(std::span<const isa::Insn> insns, const LinkTable& links);

/// Runs to `exit`; the result is R0. `ctx` is R1.
u64 run(const Code& code, void* ctx, RunContext* rc);

}  // namespace skep::vm
