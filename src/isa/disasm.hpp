// Instructions as text, in the kernel's syntax (what print_bpf_insn() makes of them in verifier logs and in
// `dump xlated`). Instructions with reserved fields set are printed too, as the verifier shows them before
// it refuses them.
#pragma once
#include <span>
#include <string>

#include "isa/insn.hpp"

namespace skep::isa {

/// Words that the instruction itself does not hold. Each function may be null, or return an empty string for
/// what it does not know; the default stands then.
struct Symbols {
  const void* self = nullptr;
  /// What follows "call ". Defaults: "pc+1" (bpf-to-bpf), "unknown#6" (helper), "kernel-function#7" (kfunc).
  std::string (*call)(const void* self, const Insn& insn) = nullptr;
  /// The immediate of ld_imm64. Default: hexadecimal, "0x2a".
  std::string (*imm64)(const void* self, const Insn& first, u64 value) = nullptr;
};

/// Appends the text of at[0], "(b7) r0 = 2", without a newline; ld_imm64 reads at[1], which must be there or
/// else counts as 0.
void disassemble(std::string& out, std::span<const Insn> at, const Symbols& symbols = {});
[[nodiscard]] std::string disassemble(std::span<const Insn> at, const Symbols& symbols = {});

}  // namespace skep::isa
