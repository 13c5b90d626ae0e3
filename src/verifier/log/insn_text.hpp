// Instructions and source lines as the verifier's log shows them.
#pragma once
#include <string>

#include "verifier/front/program.hpp"
#include "verifier/log/log.hpp"

namespace skep::verifier {

/// "(85) call bpf_map_lookup_elem#1", without newline. Map references show the address that the map's facts
/// give; resolve_pseudo_ldimm64() must have run.
[[nodiscard]] std::string insn_text(const Input& input, const Program& program, u32 insn);

/// Prints the source line of an instruction whenever it differs from the last one printed
/// (kernel: verbose_linfo()).
class SourceLines {
 public:
  /// Writes "PREFIXtext @ file.c:12\n", or nothing.
  void show(const Input& input, const Program& program, u32 insn, std::string_view prefix, Log& log);
  /// The next line is shown whatever it is.
  void forget() { last_ = nullptr; }

 private:
  const LineInfo* last_ = nullptr;
};

}  // namespace skep::verifier
