// The JSON writer's form is bpftool's, byte for byte.
#include "cli/json_writer.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skep::cli {
namespace {

TEST(JsonWriter, PrettyFormIsBpftools) {
  StringSink sink;
  JsonWriter json(sink, true);
  json.begin_array();
  json.begin_object();
  json.field("id", 1u);
  json.name("map_ids");
  json.begin_array();
  json.number(1);
  json.number(2);
  json.end_array();
  json.name("none");
  json.begin_array();
  json.end_array();
  json.end_object();
  json.begin_object();
  json.field("id", 2u);
  json.end_object();
  json.end_array();
  EXPECT_EQ(sink.text(),
            "[{\n        \"id\": 1,\n        \"map_ids\": [1,2\n        ],\n        \"none\": []\n    },{\n"
            "        \"id\": 2\n    }\n]");
}

TEST(JsonWriter, CompactFormHasNoBlanks) {
  StringSink sink;
  JsonWriter json(sink, false);
  json.begin_object();
  json.field("a", std::string_view("x"));
  json.field("b", true);
  json.signed_field("c", -1);
  json.end_object();
  EXPECT_EQ(sink.text(), R"({"a":"x","b":true,"c":-1})");
}

TEST(JsonWriter, AnyTextIsEscapedSoThatItIsJson) {
  StringSink sink;
  JsonWriter json(sink, false);
  const std::string text = "q\" b\\ n\n t\t e\x1b z";
  json.string(text);
  EXPECT_EQ(nlohmann::json::parse(sink.text()).get<std::string>(), text);
}

TEST(JsonWriter, ClosingInTheMiddleLeavesAWholeDocument) {
  StringSink sink;
  JsonWriter json(sink, false);
  json.begin_array();
  json.begin_object();
  json.name("key");
  json.close_to(0);
  EXPECT_EQ(sink.text(), R"([{"key":null}])");
}

}  // namespace
}  // namespace skep::cli
