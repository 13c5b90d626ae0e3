// Values and prototypes as the tools show them.
#include "btf/print.hpp"

#include "btf/facts.hpp"
#include "btf/objects.hpp"
#include "btf/record.hpp"
#include "btf/text_writer.hpp"

namespace skep::btf {
namespace {

/// Prints member `name` of struct all, whose bytes are `value` from the member's start on.
class PrintAll : public ::testing::Test {
 protected:
  Btf btf = test::btf_of("values.bpf.o");
  u32 all = btf.find(Kind::struct_, "all");
  std::vector<std::byte> bytes = std::vector<std::byte>(btf.size_of(all).value());

  template <class T>
  void set(std::string_view member, const T& value, u32 at = 0) {
    for (const Entry& m : btf.entries(btf.type(all))) {
      if (btf.string(m.name_off) == member)
        std::memcpy(bytes.data() + m.bit_offset / 8 + at, &value, sizeof value);
    }
  }
  std::string print(bool plain) {
    test::TextWriter out;
    Result<void> done = print_value(btf, all, bytes, out, {plain});
    EXPECT_TRUE(done.has_value()) << done.error().what;
    return out.text;
  }
  std::string member(std::string_view name, bool plain) {
    std::string text = print(plain), key = "\"" + std::string(name) + "\":";
    std::size_t at = text.find(key) + key.size(), depth = 0, end = at;
    for (; end < text.size(); ++end) {
      char c = text[end];
      if (c == '[' || c == '{') ++depth;
      if (depth == 0 && (c == ',' || c == '}')) break;
      if (c == ']' || c == '}') --depth;
    }
    return text.substr(at, end - at);
  }
};

TEST_F(PrintAll, ShowsIntegersOfEveryWidth) {
  set("u8", u8{200});
  set("s8", s8{-3});
  set("u16", u16{65535});
  set("s16", s16{-2});
  set("u32", u32{4000000000u});
  set("s32", s32{-7});
  set("u64", ~u64{0});
  set("s64", s64{-1});
  EXPECT_EQ(member("u8", false), "200");
  EXPECT_EQ(member("s8", false), "-3");
  EXPECT_EQ(member("u16", false), "65535");
  EXPECT_EQ(member("s16", false), "-2");
  EXPECT_EQ(member("u32", false), "4000000000");
  EXPECT_EQ(member("s32", false), "-7");
  EXPECT_EQ(member("u64", false), "18446744073709551615");
  EXPECT_EQ(member("s64", false), "-1");
}

TEST_F(PrintAll, ShowsWideIntegersAndBitFieldsInHexadecimal) {
  set("wide", u64{0x1122});
  EXPECT_EQ(member("wide", true), "0x1122");
  EXPECT_EQ(member("wide", false), "\"0x1122\"");
  set("wide", u64{0xab}, 8);
  EXPECT_EQ(member("wide", false), "\"0xab0000000000001122\"");
  set("bits3", u16{5 | 77 << 3});
  EXPECT_EQ(member("bits3", true), "0x5");
  EXPECT_EQ(member("bits7", true), "0x4d");
  EXPECT_EQ(member("bits7", false), "\"0x4d\"");
  set("signed5", u8{0xff});
  EXPECT_EQ(member("signed5", true).substr(0, 2), "0x");
}

TEST_F(PrintAll, ShowsBoolsFloatsEnumsAndPointers) {
  set("yes", u8{1});
  set("f", 1.5F);
  set("d", -0.25);
  set("color", 5);
  set("unknown_color", 77);
  set("big", u64{0x123456789abc});
  set("pointer", u64{0xffff888100000000});
  EXPECT_EQ(member("yes", false), "true");
  EXPECT_EQ(member("no", false), "false");
  EXPECT_EQ(member("f", false), "1.5");
  EXPECT_EQ(member("d", true), "-0.25");
  EXPECT_EQ(member("color", false), "\"GREEN\"");
  EXPECT_EQ(member("unknown_color", false), "77");
  EXPECT_EQ(member("big", false), "\"HUGE\"");
  EXPECT_EQ(member("null_pointer", true), "\"(nil)\"");
  EXPECT_EQ(member("null_pointer", false), "0");
  EXPECT_EQ(member("pointer", true), "\"0xffff888100000000\"");
  EXPECT_EQ(member("pointer", false), "18446612686364999680");
  set("color", -1);
  EXPECT_EQ(member("color", false), "\"BLUE\"");
}

TEST_F(PrintAll, ShowsArraysStringsAndNesting) {
  set("text", std::array<char, 8>{'h', 'i', '"', 0, 'x'});
  set("not_text", std::array<char, 4>{'a', 'b', 'c', 'd'});
  set("raw", std::array<u8, 3>{1, 2, 0});
  set("matrix", std::array<int, 6>{1, 2, 3, 4, 5, 6});
  set("either", u32{0x01020304});
  set("inner", int{9});
  EXPECT_EQ(member("text", false), "\"hi\\\"\"");
  EXPECT_EQ(member("not_text", false), "[97,98,99,100]");  // no NUL: numbers
  EXPECT_EQ(member("raw", false), "[1,2,0]");
  EXPECT_EQ(member("matrix", false), "[[1,2,3],[4,5,6]]");
  EXPECT_EQ(member("either", false), "{\"number\":16909060,\"bytes\":[4,3,2,1]}");
  EXPECT_EQ(member("inner", false),
            "[{\"x\":9,\"tag\":\"\",\"letters\":[0,0]},{\"x\":0,\"tag\":\"\",\"letters\":[0,0]}]");
  EXPECT_NE(print(false).find("\"\":{\"anonymous_member\":0}"), std::string::npos);
}

TEST_F(PrintAll, RefusesATypeLargerThanTheValue) {
  test::TextWriter out;
  Result<void> done = print_value(btf, all, ByteView(bytes).first(20), out);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, EINVAL);
  EXPECT_NE(done.error().what.find("of a value of 20 bytes"), std::string::npos);
}

TEST(PrintValue, RefusesFunctionsAndClosesWhatItOpened) {
  Btf btf = test::btf_of("hello.bpf.o");
  test::TextWriter out;
  std::vector<std::byte> value(8);
  EXPECT_FALSE(print_value(btf, 7, value, out).has_value());
}

TEST(TypeText, WritesPrototypesAsTheXlatedDumpHeadsThem) {
  Btf hello = test::btf_of("hello.bpf.o");
  EXPECT_EQ(type_text(hello, hello.find(Kind::func, "hello")), "int hello(struct xdp_md * ctx)");
  Btf values = test::btf_of("values.bpf.o");
  EXPECT_EQ(type_text(values, values.find(Kind::func, "combine")),
            "int combine(struct all * all, int count)");
  const Type& all = values.type(values.find(Kind::struct_, "all"));
  EXPECT_EQ(type_text(values, values.entries(all).back().type), "int (struct all *, const char *)* ");
  EXPECT_EQ(type_text(values, values.type(values.find(Kind::var, "variadic")).type), "int (int, ...)* ");
  EXPECT_EQ(type_text(values, 0), "void ");
  EXPECT_EQ(type_text(values, 9999), "");
}

TEST(SpecialFields, FindsLocksAndTimersInNestedValues) {
  Btf btf = test::btf_of("values.bpf.o");
  const Record found = find_fields(btf, btf.find(Kind::struct_, "timed"), map_value_fields, 24).value();
  EXPECT_EQ(found.spin_lock_off, 4);
  EXPECT_EQ(found.timer_off, 8);
  EXPECT_EQ(found.workqueue_off, -1);
  ASSERT_EQ(found.fields.size(), 2u);
  EXPECT_EQ(found.fields[1].kind, FieldKind::timer);
  EXPECT_EQ(find_fields(btf, btf.find(Kind::struct_, "inner"), map_value_fields, 4096)->kinds, 0u);
  // A field that reaches beyond the value.
  EXPECT_EQ(find_fields(btf, btf.find(Kind::struct_, "timed"), map_value_fields, 20).error().code, EFAULT);
}

TEST(Datasec, FindsVariablesByNameAndPlace) {
  Btf btf = test::btf_of("hello.bpf.o");
  u32 bss = btf.find(Kind::datasec, ".bss");
  ASSERT_NE(find_variable(btf, bss, "counter"), nullptr);
  EXPECT_EQ(find_variable(btf, bss, "nothing"), nullptr);
  EXPECT_EQ(btf.name(variable_at(btf, bss, 3)), "counter");
  EXPECT_EQ(variable_at(btf, bss, 4), 0u);
}

}  // namespace
}  // namespace skep::btf
