// Machine code of the machine the test runs on, as `prog dump jited` prints it.
#include "cli/jited_view.hpp"

#include <gtest/gtest.h>

namespace skep::cli {
namespace {

Outcome<JitedView> view_of(std::initializer_list<unsigned> bytes) {
  ProgramInfo info;
  for (const unsigned byte : bytes) info.jited.push_back(static_cast<std::byte>(byte));
  return view_jited(info, nullptr, {});
}

#if defined(__aarch64__)
TEST(JitedView, PrintsWordsThatCapstoneDoesNotKnow) {
  const auto view = view_of({0x3f, 0x01, 0x21, 0xf8, 0x01, 0xfc, 0x9f, 0xc8});
  ASSERT_TRUE(view.has_value());
  ASSERT_EQ(view->functions.size(), 1U);
  const auto& insns = view->functions[0].insns;
  ASSERT_EQ(insns.size(), 2U);
  // A later capstone says stadd x1, [x9].
  EXPECT_TRUE(insns[0].operation == ".inst" ? insns[0].operands == "0xf821013f"
                                            : insns[0].operation == "stadd");
  EXPECT_EQ(insns[1].offset, 4U);
  EXPECT_EQ(insns[1].operation, "stlr");
  EXPECT_EQ(insns[1].operands, "x1, [x0]");
  EXPECT_FALSE(view_of({0xc0, 0x03, 0x5f}).has_value()) << "no whole word";
}
#elif defined(__x86_64__)
TEST(JitedView, SpellsOperandsAsLlvmDoes) {
  const auto view = view_of({0x48, 0x8b, 0x45, 0xf8, 0xb8, 0x10, 0x00, 0x00, 0x00, 0xc3});
  ASSERT_TRUE(view.has_value());
  ASSERT_EQ(view->functions.size(), 1U);
  const auto& insns = view->functions[0].insns;
  ASSERT_EQ(insns.size(), 3U);
  EXPECT_EQ(insns[0].operands, "-8(%rbp), %rax");
  EXPECT_EQ(insns[1].operands, "$16, %eax");
  EXPECT_EQ(insns[2].operation, "retq");
  EXPECT_FALSE(view_of({0x06}).has_value()) << "no instruction on x86-64";
}
#endif

}  // namespace
}  // namespace skep::cli
