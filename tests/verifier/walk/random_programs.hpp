// What the tests of random programs share: how many from which seed, and how one is shown.
#pragma once
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "isa/disasm.hpp"

namespace skep::verifier::testing {

/// The number in an environment variable, for runs longer than a test's.
inline u64 from_environment(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

inline std::string listing(const std::vector<isa::Insn>& insns) {
  std::string text;
  for (std::size_t i = 0; i < insns.size(); ++i) {
    text += std::to_string(i) + ": ";
    isa::disassemble(text, std::span(insns).subspan(i));
    text += '\n';
    if (isa::is_ld_imm64(insns[i])) ++i;
  }
  return text;
}

}  // namespace skep::verifier::testing
