// The log buffer: rotating and fixed mode, true size, resets.
#include "verifier/log/log.hpp"

#include <gtest/gtest.h>

namespace skep::verifier {
namespace {

TEST(Log, CountsTheNulInItsTrueSize) {
  Log log({.level = 1, .size = 100});
  log.write("hello\n");
  const LogOutput out = log.finish();
  EXPECT_EQ(out.text, "hello\n");
  EXPECT_EQ(out.true_size, 7u);
  EXPECT_FALSE(out.overflow);
}

TEST(Log, KeepsTheTailWhenItRotates) {
  Log log({.level = 1, .size = 6});
  log.write("abcdef");
  log.write("gh");
  const LogOutput out = log.finish();
  EXPECT_EQ(out.text, "defgh");
  EXPECT_EQ(out.true_size, 9u);
  EXPECT_TRUE(out.overflow);
}

TEST(Log, KeepsTheHeadWhenFixed) {
  Log log({.level = 1 | log_fixed, .size = 6});
  log.write("abc");
  log.write("defgh");
  log.write("i");
  const LogOutput out = log.finish();
  EXPECT_EQ(out.text, "abcde");
  EXPECT_EQ(out.true_size, 10u);
  EXPECT_TRUE(out.overflow);
}

TEST(Log, KeepsItsLongestLengthOverAReset) {
  Log log({.level = 1, .size = 100});
  log.write("a long trace\n");
  log.reset(0);
  log.write("end\n");
  const LogOutput out = log.finish();
  EXPECT_EQ(out.text, "end\n");
  EXPECT_EQ(out.true_size, 14u);
}

TEST(Log, IsEmptyAfterAResetToWhatHasRotatedOut) {
  Log log({.level = 1, .size = 4});
  log.write("abcdefghij");
  log.reset(2);
  log.write("xy");
  EXPECT_EQ(log.finish().text, "xy");
}

TEST(Log, LongRotatingLogsKeepOnlyTheirWindow) {
  Log log({.level = 2, .size = 10});
  for (int i = 0; i < 100000; ++i) log.write("0123456789");
  log.write("end");
  EXPECT_EQ(log.finish().text, "456789end");
}

TEST(Log, CutsOneWriteAt1023Bytes) {
  Log log({.level = 1, .size = 4096});
  log.write(std::string(2000, 'x'));
  EXPECT_EQ(log.finish().text.size(), 1023u);
}

TEST(Log, RemembersTheLastMessageEvenWithoutALevel) {
  Log log({});
  log.say("R{} !read_ok\n", 3);
  EXPECT_EQ(log.last_message(), "R3 !read_ok");
  EXPECT_EQ(log.finish().text, "");
  log.say("no newline ");
  log.say("goes on\n");
  EXPECT_EQ(log.last_message(), "no newline goes on");
}

TEST(Log, RefusesUnknownLevelsAndABufferWithoutALevel) {
  EXPECT_FALSE(log_options_valid({.level = 16, .size = 10}));
  EXPECT_FALSE(log_options_valid({.level = 0, .size = 10}));
  EXPECT_TRUE(log_options_valid({.level = 2, .size = 0}));
  EXPECT_TRUE(log_options_valid({.level = 15, .size = UINT32_MAX >> 2}));
  EXPECT_FALSE(log_options_valid({.level = 1, .size = (UINT32_MAX >> 2) + 1}));
}

}  // namespace
}  // namespace skep::verifier
