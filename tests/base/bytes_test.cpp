#include "base/bytes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>

namespace skep {
namespace {

TEST(ByteReader, ReadsInsideAndRefusesOutside) {
  const std::array<u8, 4> data{1, 2, 3, 4};
  const ByteReader reader(std::as_bytes(std::span(data)), ".BTF");
  EXPECT_EQ(reader.read<u16>(2).value(), 0x0403);
  const auto past = reader.read<u32>(1);
  ASSERT_FALSE(past.has_value());
  EXPECT_EQ(past.error().code, EINVAL);
  EXPECT_EQ(past.error().what, ".BTF: 4 bytes at offset 1 run past its end (4 bytes)");
}

TEST(ByteReader, OffsetPlusSizeCannotOverflow) {
  const ByteReader reader({}, "x");
  EXPECT_FALSE(reader.sub(UINT64_MAX, 2).has_value());
  EXPECT_FALSE(reader.sub(1, UINT64_MAX).has_value());
  EXPECT_TRUE(reader.sub(0, 0).has_value());
}

TEST(ByteReader, UnterminatedStringIsAnError) {
  const std::array<char, 3> data{'a', 'b', 'c'};
  EXPECT_FALSE(ByteReader(std::as_bytes(std::span(data)), "s").string(0).has_value());
}

Result<int> half(int n) {
  if (n % 2 != 0) return fail(EINVAL, "odd");
  return n / 2;
}
Result<int> quarter(int n) { return TRY(half(TRY(half(n)))); }

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().what, "odd");
  EXPECT_EQ(with_context(quarter(6), "n").error().what, "n: odd");
}

}  // namespace
}  // namespace skep
