// The subprograms of a rewritten program as they are shown: where they start, their names and tags.
#pragma once
#include "fixup/translate.hpp"
#include "runtime/load.hpp"

namespace skep::runtime {

/// A program without subprograms has its own tag as the only one's; otherwise each has one over its rewritten
/// instructions (jit_subprogs() of kernel/bpf/verifier.c).
[[nodiscard]] std::vector<SubprogInfo> subprograms(const fixup::Translated& translated,
                                                   const Program& program, TagHash hash);

}  // namespace skep::runtime
