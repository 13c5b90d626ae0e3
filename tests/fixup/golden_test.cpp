// Whole programs, verified and rewritten, against what the kernel made of them (the `xlated` bytes of
// tests/golden/verifier/cases.json).
#include <gtest/gtest.h>

#include "fixup/translate.hpp"
#include "verifier/cases.hpp"

namespace skep::fixup {
namespace {

using namespace verifier::testing;

/// Map ids, places of kernel functions and of the CPU's number differ from machine to machine.
void normalise(std::vector<isa::Insn>& insns) {
  for (size_t i = 0; i < insns.size(); ++i) {
    isa::Insn& insn = insns[i];
    if (isa::is_ld_imm64(insn)) {
      if (insn.src == uapi::PSEUDO_MAP_FD || insn.src == uapi::PSEUDO_MAP_VALUE) insn.imm = 0;
      ++i;
    } else if (insn.code == 0x85 && insn.src == 0 && insn.imm != 12) {
      insn.imm = 0;
    } else if (i + 1 < insns.size() && insns[i + 1].code == 0xbf && insns[i + 1].off == -1 &&
               insn.code == 0xb7) {
      insn.imm = 0;
    }
  }
}

/// Programs that the kernel rewrites further: may_goto, which skep's engines bound themselves, and lookups in
/// maps of maps, which stay helper calls; and reads of struct bpf_map, whose members lie elsewhere in skep's
/// map.
bool rewritten_otherwise(const Case& c) {
  return c.name == "may-goto" || c.name == "map-in-map" || c.name == "map-ptr-access";
}

TEST(Translate, EqualsTheKernelsXlatedPrograms) {
  CaseMaps maps;
  int equal = 0;
  std::string refused;
  for (const Case& c : load_cases(maps)) {
    if (c.type != "xdp" || c.golden["xlated"].is_null() || rewritten_otherwise(c)) continue;
    SCOPED_TRACE(c.name);
    const auto input = c.input();
    const auto verified = verifier::verify(input);
    if (!verified) {
      refused += c.name + ": " + verified.error().message + "\n";
      continue;
    }
    const auto translated = translate(*verified);
    ASSERT_TRUE(translated.has_value()) << translated.error().what;
    auto ours = dump_insns(*translated);
    auto golden = insns_of_hex(c.golden["xlated"]);
    normalise(ours);
    normalise(golden);
    EXPECT_EQ(ours, golden);
    EXPECT_EQ(translated->origin().size(), ours.size());
    equal += ours == golden;
  }
  RecordProperty("equal", equal);
  RecordProperty("refused", refused);
  EXPECT_GE(equal, 87) << "refused:\n" << refused;
}

}  // namespace
}  // namespace skep::fixup
