// Bytes given on the command line or in files: bare instructions, and memory for them.
#pragma once
#include <string>
#include <vector>

#include "cli/outcome.hpp"
#include "isa/insn.hpp"
#include "kernel/uapi.hpp"

namespace skep::cli {

/// The instructions in a file ("-": standard input): 8 bytes each, as they are or as hexadecimal digits with
/// blanks between them.
Outcome<std::vector<isa::Insn>> read_bare_insns(const std::string& path);

/// Hexadecimal digits, or "file:PATH": the bytes of a file ("file:-": standard input).
Outcome<std::vector<std::byte>> parse_bytes(const std::string& word);

/// "xdp", "sched_cls", ...: as the kernel calls its program types.
Outcome<ProgType> parse_prog_type(const std::string& word);

}  // namespace skep::cli
