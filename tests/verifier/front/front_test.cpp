// The phases before the walk against the kernel's logs: every structural refusal, and the beginning of every
// level-2 log (functions, live registers, loops, disassembly).
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "verifier/cases.hpp"
#include "verifier/front/program.hpp"

namespace skep::verifier {
namespace {

using namespace testing;

int errno_of(const std::string& name) {
  return name == "EINVAL" ? EINVAL : name == "ENOTSUPP" ? kENOTSUPP : name == "E2BIG" ? E2BIG : -1;
}

/// Calls of helpers that no kernel has count as known: everything treats them alike.
bool has_all_helpers(const Input& input) {
  return std::ranges::all_of(input.insns, [&](const isa::Insn& i) {
    if (i.code != 0x85 || i.src != 0 || !helpers::allowed(input.type, static_cast<u32>(i.imm))) return true;
    return input.helper(input.type, {}, static_cast<u32>(i.imm)) != nullptr;
  });
}

TEST(Front, RefusesAndPrintsWhatTheKernelDoesBeforeTheWalk) {
  CaseMaps maps;
  int refused = 0, walked = 0, compared = 0;
  for (const Case& c : load_cases(maps)) {
    SCOPED_TRACE(c.name);
    const std::string golden = c.golden["log2"];
    Log log({.level = 2, .size = 1 << 20});
    Program program;
    const Input input = c.input();
    const int err = run_front(input, program, log);
    const size_t walk = golden.find("0: R1=");
    const bool reaches_walk = walk != std::string::npos;
    const size_t end = reaches_walk ? walk : golden.rfind("processed ");
    if (has_all_helpers(input)) {
      EXPECT_EQ(without_addresses(log.finish().text), without_addresses(golden.substr(0, end)));
      ++compared;
    }
    if (reaches_walk) {
      EXPECT_EQ(err, 0);
      ++walked;
    } else {
      EXPECT_EQ(err, errno_of(c.golden["err"])) << log.last_message();
      ++refused;
    }
  }
  // Without a helper's contract the table cannot know which registers its call reads.
  RecordProperty("logs compared", compared);
  EXPECT_GE(compared, 180);
  EXPECT_EQ(refused, 17);
  EXPECT_EQ(walked, 229);
}

}  // namespace
}  // namespace skep::verifier
