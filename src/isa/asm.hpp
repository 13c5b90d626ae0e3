// The assembler: the kernel's disassembly syntax back to instructions, with labels. For tests, tools and
// hand-written programs; it reads what disassemble() prints.
//
// One statement a line or between semicolons; "//" starts a comment; "name:" is a label,
// alone or before a statement. A leading "12:" (an
// instruction number) or "(b7)" (an opcode) as in logs is allowed; the opcode then selects among forms.
// White space does not matter, numbers are decimal or hexadecimal. Jump targets are "pc+3", "+3", "3" or a
// label. Besides the disassembler's words:
//   r1 = 0x1122334455667788 ll       64-bit immediate
//   r1 = map NAME                    also mapval NAME + 8, map_idx N, mapval_idx N + 8, btf N, func LABEL
//   call 6      callf LABEL      kfunc 1234 [fd 1]
//   atomic fadd u64 (r1 +0) r2       add or and xor fadd for fand fxor xchg cmpxchg store_rel
//   r0 = load_acq u64 (r1 +0)    ldabs u8 12    ldind u16 r7 2    raw 9500000000000000
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "isa/insn.hpp"

namespace skep::isa {

/// What NAME in "map NAME" and "call NAME" stands for: a descriptor, a helper id.
struct AsmName {
  std::string_view name;
  s32 value = 0;
};

/// EINVAL with the line number and the statement that is not understood.
[[nodiscard]] Result<std::vector<Insn>> assemble(std::string_view text, std::span<const AsmName> names = {});

}  // namespace skep::isa
