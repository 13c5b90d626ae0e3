// Types put together anew: what is the same becomes one, also in cycles, and what differs far away does not.
#include "btf/builder.hpp"

#include <gtest/gtest.h>

#include "btf/dump.hpp"

namespace skep::btf {
namespace {

u32 add(Builder& out, Kind kind, std::string_view name, u32 type = 0, u32 size = 0) {
  BuiltType built;
  built.type.kind = kind;
  built.type.name_off = out.add_string(name);
  built.type.type = type;
  built.type.size = size;
  built.type.int_bits = static_cast<u8>(kind == Kind::int_ ? size * 8 : 0);
  return out.add(std::move(built));
}
void member(Builder& out, u32 id, std::string_view name, u32 type, u32 bit = 0) {
  Entry entry;
  entry.name_off = out.add_string(name);
  entry.type = type;
  entry.bit_offset = bit;
  out.type(id).entries.push_back(entry);
}
/// struct list { int value; struct list *next; }, `length` times round.
u32 add_list(Builder& out, u32 value) {
  const u32 list = add(out, Kind::struct_, "list", 0, 16);
  const u32 pointer = add(out, Kind::ptr, "", list);
  member(out, list, "value", value);
  member(out, list, "next", pointer, 64);
  return list;
}
std::string text(Builder& out) {
  const auto bytes = out.bytes();
  EXPECT_TRUE(bytes);
  const auto parsed = Btf::parse(*bytes, nullptr, Checks::kernel);
  EXPECT_TRUE(parsed) << parsed.error().what;
  return parsed ? raw_text(*parsed) : "";
}

TEST(Deduplicate, CyclesBecomeOne) {
  Builder out;
  std::vector<u32> lists;
  for (int copy = 0; copy < 3; ++copy) lists.push_back(add_list(out, add(out, Kind::int_, "int", 0, 4)));
  const auto now = out.deduplicate();
  EXPECT_EQ(now[lists[0]], now[lists[1]]);
  EXPECT_EQ(now[lists[0]], now[lists[2]]);
  EXPECT_EQ(text(out),
            "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=(none)\n"
            "[2] STRUCT 'list' size=16 vlen=2\n\t'value' type_id=1 bits_offset=0\n"
            "\t'next' type_id=3 bits_offset=64\n"
            "[3] PTR '(anon)' type_id=2\n");
}

TEST(Deduplicate, WhatDiffersFarAwayStaysApart) {
  Builder out;
  u32 ends[2];
  for (u32 copy = 0; copy < 2; ++copy) {
    u32 id = add(out, Kind::int_, copy == 0 ? "int" : "long", 0, 4 + 4 * copy);
    for (int depth = 0; depth < 1000; ++depth) id = add(out, Kind::ptr, "", id);
    ends[copy] = id;
  }
  const auto now = out.deduplicate();
  EXPECT_NE(now[ends[0]], now[ends[1]]);
  EXPECT_EQ(out.type_count(), 2002u);
}

TEST(Deduplicate, ForwardsBecomeTheOneTypeOfTheirName) {
  Builder out;
  const u32 forward = add(out, Kind::fwd, "list");
  const u32 pointer = add(out, Kind::ptr, "", forward);
  const u32 list = add_list(out, add(out, Kind::int_, "int", 0, 4));
  const u32 unknown = add(out, Kind::fwd, "other");
  const auto now = out.deduplicate();
  EXPECT_EQ(now[forward], now[list]);
  EXPECT_EQ(out.type(now[pointer]).type.type, now[list]);
  EXPECT_EQ(out.type(now[unknown]).type.kind, Kind::fwd);
  EXPECT_EQ(out.type_count(), 4u);
}

TEST(Deduplicate, AForwardOfSeveralTypesStays) {
  Builder out;
  const u32 forward = add(out, Kind::fwd, "list");
  const u32 a = add_list(out, add(out, Kind::int_, "int", 0, 4));
  const u32 b = add_list(out, add(out, Kind::int_, "long", 0, 8));
  const auto now = out.deduplicate();
  EXPECT_NE(now[a], now[b]);
  EXPECT_EQ(out.type(now[forward]).type.kind, Kind::fwd);
}

TEST(Deduplicate, ReplacedTypesAreGone) {
  Builder out;
  const u32 number = add(out, Kind::int_, "int", 0, 4);
  const u32 declared = add(out, Kind::var, "x", number), defined = add(out, Kind::var, "x", number);
  out.type(declared).type.linkage = linkage_extern;
  out.type(defined).type.linkage = linkage_global;
  out.replace(declared, defined);
  const auto now = out.deduplicate();
  EXPECT_EQ(now[declared], now[defined]);
  EXPECT_EQ(out.type_count(), 2u);
}

}  // namespace
}  // namespace skep::btf
