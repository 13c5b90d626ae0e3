// Names for machine code: in reports of faults, and for perf(1) and gdb(1).
#pragma once
#include "base/result.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {

/// A fault inside the program's code is then reported with its id, name, instruction and source line. Before
/// others see the program; does nothing for one that is interpreted.
void name_in_fault_reports(Program& program);

/// Adds the program's subprograms to /tmp/perf-PID.map, where perf(1) looks for code without a file:
/// "ADDRESS LENGTH bpf_prog_TAG_NAME" in hexadecimal, a line each. Errors of open(2) and write(2).
Result<void> write_perf_map(const Program& program);

}  // namespace skep::runtime
