// What the engines cost beside the code they make: entries, calls, tail calls, compiling, interpreting.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "isa/insn.hpp"
#include "report.hpp"

namespace skep::bench {

/// A program as the engines take it, for compiling.
struct Sample {
  std::string name;
  std::vector<isa::Insn> insns;
};

/// Adds figures, medians of `rounds` with half the middle half, to the report. Results are checked first.
Result<void> add_micro_figures(Report& report, const std::vector<Sample>& samples, u32 rounds);

/// Instructions as BPF_OBJ_GET_INFO_BY_FD shows them, without maps, back as engines take them.
std::vector<isa::Insn> runnable(std::vector<isa::Insn> xlated);

}  // namespace skep::bench
