// bpf_trace_printk's formats. Expectations are what the running kernel (6.18) answered: text and return
// value.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "helpers/printk_format.hpp"
#include "helpers/table.hpp"

namespace skep::helpers {
namespace {

u64 address(const char* text) { return reinterpret_cast<u64>(text); }

struct Printed {
  s64 result;
  std::string text;
  bool operator==(const Printed&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Printed& p) {
  return out << p.result << " '" << p.text << "'";
}

Printed print(std::string_view format, u64 a = 0, u64 b = 0, u64 c = 0) {
  const std::string with_nul = std::string(format) + '\0';
  const std::array<u64, 3> args = {a, b, c};
  std::array<char, 1024> out{};
  const s64 result = format_printk(out, with_nul, args);
  return {result, result < 0 ? "" : out.data()};
}
Printed text(std::string expected) { return {static_cast<s64>(expected.size()), expected}; }
const Printed refused = {-EINVAL, ""};

TEST(Printk, FormatsNumbersAsTheKernel) {
  constexpr u64 minus_1 = ~u64{0};
  EXPECT_EQ(print("%d", static_cast<u64>(-5)), text("-5"));
  EXPECT_EQ(print("%d", 0x1'0000'0005), text("5"));
  EXPECT_EQ(print("%i", 7), text("7"));
  EXPECT_EQ(print("%u", minus_1), text("4294967295"));
  EXPECT_EQ(print("%lld %llu %lli", minus_1, minus_1, minus_1), text("-1 18446744073709551615 -1"));
  EXPECT_EQ(print("%llx", 0xdeadbeefcafe), text("deadbeefcafe"));
  EXPECT_EQ(print("%lx %x %X", 0xabc, 0xabc, 0xabc), text("abc abc ABC"));
  EXPECT_EQ(print("%x", minus_1), text("ffffffff"));
}

TEST(Printk, ObeysFlagsAndWidths) {
  EXPECT_EQ(print("%5d|%-5d|%05d", 42, 42, 42), text("   42|42   |00042"));
  EXPECT_EQ(print("%+d|% d|%+x", 3, 3, 3), text("+3| 3|3"));
  EXPECT_EQ(print("%-05d|", 3), text("3    |"));
  EXPECT_EQ(print("%+05d|", static_cast<u64>(-3)), text("-0003|"));
  EXPECT_EQ(print("% 5d|", 3), text("    3|"));
  EXPECT_EQ(print("%08lx", 0xbeef), text("0000beef"));
  EXPECT_EQ(print("%5c|%-5c|", 'A', 'B'), text("    A|B    |"));
  EXPECT_EQ(print("%999d", 1), text(std::string(998, ' ') + "1"));
}

TEST(Printk, FormatsPointersStringsAndAddresses) {
  EXPECT_EQ(print("%px", 0x1234), text("0000000000001234"));
  EXPECT_EQ(print("%20px|", 0x1234), text("                1234|"));
  EXPECT_EQ(print("%-20px|", 0x1234), text("1234                |"));
  EXPECT_EQ(print("%px%d", 1, 2), text("00000000000000012"));
  EXPECT_EQ(print("%pxyz", 1), text("0000000000000001"));
  EXPECT_EQ(print("%p.", 0), text("0000000000000000."));
  EXPECT_EQ(print("%pK", 0), text("0000000000000000"));
  EXPECT_EQ(print("%pB %ps %pS", 0x1234, 0x1234, 0x1234), text("0x1234 0x1234 0x1234"));
  const u64 hello = address("hello");
  EXPECT_EQ(print("%s", hello), text("hello"));
  EXPECT_EQ(print("%10s|%-10s|", hello, hello), text("     hello|hello     |"));
  EXPECT_EQ(print("%10pks|", hello), text("hello|"));
  EXPECT_EQ(print("%3c%s", 'A', address("x")), text("  Ax"));
  const u64 ip4 = address("\x0a\x01\xc8\x03");
  EXPECT_EQ(print("%pI4 %pi4", ip4, ip4), text("10.1.200.3 010.001.200.003"));
  EXPECT_EQ(print("%pI4x!", ip4), text("10.1.200.3!"));
  const u64 ip6 = address("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
  EXPECT_EQ(print("%pI6", ip6), text("0001:0203:0405:0607:0809:0a0b:0c0d:0e0f"));
  EXPECT_EQ(print("%pI6c", ip6), text("0001:0203:0405:0607:0809:0a0b:0c0d:0e0f"));
  EXPECT_EQ(print("%pi6", ip6), text("000102030405060708090a0b0c0d0e0f"));
}

TEST(Printk, MemoryThatIsNotThereIsEmptyOrZero) {
  EXPECT_EQ(print("%s", 0), text(""));
  EXPECT_EQ(print("%s", 1), text(""));
  EXPECT_EQ(print("%s", ~u64{0}), text(""));
  EXPECT_EQ(print("%pI4", 0), text("0.0.0.0"));
}

TEST(Printk, HashesPointersWithoutShowingThem) {
  const Printed once = print("%p", 0x1234567), again = print("%p", 0x1234567), other = print("%p", 0x1234568);
  EXPECT_EQ(once, again);
  EXPECT_NE(once, other);
  EXPECT_EQ(once.result, 16);
  EXPECT_EQ(once.text.find("1234567"), std::string::npos);
}

TEST(Printk, PlainTextPassesThrough) {
  EXPECT_EQ(print("100%% %d", 1), text("100% 1"));
  EXPECT_EQ(print("%d%%%d", 1, 2), text("1%2"));
  EXPECT_EQ(print("tab\there\n"), text("tab\there\n"));
  EXPECT_EQ(print("utf\xc3\xa9"), text("utf\xc3\xa9"));
  EXPECT_EQ(print("a%cb", 0).result, 3);
}

TEST(Printk, RefusesWhatTheKernelRefuses) {
  for (const char* format :
       {"%d %d %d %d", "%f",   "%z",  "%n",  "%.3d", "%#x",  "%*d", "%hd",     "%o",    "%",    "%5",
        "%l",          "%lll", "%ls", "%pZ", "%pIx", "%pI5", "%sx", "ctl\x01", "%\xc3", "%pksx"})
    EXPECT_EQ(print(format, 1, 1, 1), refused) << format;
  std::array<char, 16> out{};
  const std::array<char, 3> without_nul = {'a', 'b', 'c'};
  EXPECT_EQ(format_printk(out, without_nul, {}), -EINVAL);
}

TEST(Printk, LongTextIsCutAndCountedWhole) {
  const std::string with_nul = std::string("0123456789") + '\0';
  std::array<char, 5> out{};
  EXPECT_EQ(format_printk(out, with_nul, {}), 10);
  EXPECT_STREQ(out.data(), "0123");
}

struct Sink final : TraceSink {
  std::vector<std::string> lines;
  void trace_printk(std::string_view line, const RunContext&) noexcept override { lines.emplace_back(line); }
};

TEST(Printk, HelperTracesAndReturnsTheLength) {
  Sink sink;
  RunContext run;
  run.trace = &sink;
  const HelperFn printk = function(ProgType::xdp, 6);
  ASSERT_NE(printk, nullptr);
  const char format[] = "Hello World %d";
  EXPECT_EQ(printk(address(format), sizeof format, 41, 0, 0, &run), 14u);
  EXPECT_EQ(static_cast<s64>(printk(address(format), sizeof format - 1, 41, 0, 0, &run)), -EINVAL)
      << "no NUL";
  const std::array<u64, 4> args = {1, 2, 3, 4};
  const char four[] = "%d%d%d%d";
  EXPECT_EQ(function(ProgType::xdp, 177)(address(four), sizeof four, reinterpret_cast<u64>(args.data()),
                                         sizeof args, 0, &run),
            4u);
  EXPECT_EQ(static_cast<s64>(function(ProgType::xdp, 177)(address(four), sizeof four,
                                                          reinterpret_cast<u64>(args.data()), 7, 0, &run)),
            -EINVAL);
  EXPECT_EQ(sink.lines, (std::vector<std::string>{"Hello World 41", "1234"}));
}

}  // namespace
}  // namespace skep::helpers
