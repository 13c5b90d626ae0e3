// The rewritten program as bpf(2) shows it (bpf_insn_prepare_dump() of kernel/bpf/syscall.c).
#pragma once
#include "fixup/translate.hpp"
#include "runtime/load.hpp"

namespace skep::runtime {

/// Map references as src=1/2 with the map's id, helper calls as distances from __bpf_call_base, calls of
/// subprograms with the distance in `off` and the subprogram's number in `imm`.
[[nodiscard]] std::vector<isa::Insn> xlated_dump(const fixup::Translated& translated);

/// Start, name and tag of each subprogram. A program without others has its own tag as the only one's.
[[nodiscard]] std::vector<SubprogInfo> subprograms(const fixup::Translated& translated,
                                                   const Program& program, TagHash hash);

}  // namespace skep::runtime
