// The interpreter runs the instruction suite.
#include "vm/interpreter.hpp"

#include "vm/engine_suite.hpp"

namespace skep::vm::testing {
namespace {

Result<Loaded> load_interpreted(std::span<const isa::Insn> insns, const LinkTable& links) {
  auto code = std::make_shared<Code>(TRY(prepare_unverified(insns, links)));
  return Loaded{code, code->entry(), code->tail_entry()};
}

INSTANTIATE_TEST_SUITE_P(Interpreter, EngineTest, ::testing::Values(Engine{"interpreter", load_interpreted}));

TEST(Interpreter, MovesWithItsEntriesIntact) {
  const auto insns = isa::assemble("r0 = 11; exit");
  auto code = prepare_unverified(*insns, {});
  ASSERT_TRUE(code.has_value());
  const Entry entry = code->entry();
  const Code moved = std::move(*code);
  RunContext rc;
  EXPECT_EQ(entry(nullptr, &rc), 11U);
  EXPECT_EQ(run(moved, nullptr, &rc), 11U);
}

}  // namespace
}  // namespace skep::vm::testing
