// The table of helpers against what the kernel said of each: names, permissions, arguments, results.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "helpers/families.hpp"
#include "helpers/table.hpp"

namespace skep::helpers {
namespace {

nlohmann::json golden(const std::string& name) {
  std::ifstream file(std::string(SKEP_GOLDEN_DIR) + "/" + name);
  return nlohmann::json::parse(file);
}

ProgType type_of(std::string_view name) {
  for (u32 i = 0; i < prog_type_count; ++i)
    if (prog_type_name(static_cast<ProgType>(i)) == name) return static_cast<ProgType>(i);
  return ProgType::unspec;
}

std::vector<const HelperRow*> all_rows() {
  std::vector<const HelperRow*> rows;
  for (const auto& family :
       {map_family(), trace_family(), task_family(), string_family(), net_family(), xdp_family()})
    for (const HelperRow& row : family) rows.push_back(&row);
  return rows;
}

TEST(HelperTable, NamesAreTheKernels) {
  for (const auto& [id, expected] : golden("helpers_by_progtype.json").at("names").items())
    EXPECT_EQ(name(static_cast<u32>(std::stoul(id))), expected.get<std::string>());
  EXPECT_EQ(name(0), "unknown");
  EXPECT_EQ(name(max_id), "unknown");
  EXPECT_EQ(name(UINT32_MAX), "unknown");
}

TEST(HelperTable, PermissionsAreTheKernels) {
  for (const auto& [type, ids] : golden("helpers_by_progtype.json").at("by_type").items()) {
    const auto list = ids.get<std::set<u32>>();
    for (u32 id = 0; id < static_cast<u32>(max_id) + 50; ++id)
      EXPECT_EQ(allowed(type_of(type), id), list.contains(id)) << type << " " << id;
  }
}

TEST(HelperTable, RowsAreCompleteAndUnique) {
  std::set<u32> ids;
  for (const HelperRow* row : all_rows()) {
    EXPECT_TRUE(ids.insert(row->contract.id).second) << row->contract.name;
    EXPECT_NE(row->fn, nullptr);
    EXPECT_EQ(function(static_cast<s32>(row->contract.id)), row->fn);
    EXPECT_EQ("bpf_" + std::string(row->contract.name), name(row->contract.id));
  }
}

/// What helper_args.json found: "expected=" text and whether a constant 0 (NULL, size 0) is taken.
std::string observed(const nlohmann::json& arg) {
  const std::string expected =
      arg.at("expected").is_null() ? "anything" : arg.at("expected").get<std::string>();
  std::string kind = expected.starts_with("fp, pkt") ? "memory" : expected;
  const auto accepted = arg.at("accept").get<std::set<std::string>>();
  if ((kind == "memory" || kind == "scalar") && accepted.contains("const0")) kind += " or 0";
  return kind;
}
std::string promised(const ArgSpec& arg) {
  switch (arg.kind) {
    case Arg::anything:
      return "anything";
    case Arg::const_map_ptr:
      return "map_ptr";
    case Arg::ctx:
      return "ctx";
    case Arg::map_key:
    case Arg::map_value:
    case Arg::mem:
      return (arg.flags & maybe_null) != 0 ? "memory or 0" : "memory";
    case Arg::const_size:
      return "scalar";
    case Arg::const_size_or_zero:
      return "scalar or 0";
    case Arg::const_str:
      return "map_value";
    default:
      return "?";
  }
}

TEST(HelperTable, ArgumentsAreWhatTheKernelTakes) {
  const auto probed = golden("helper_args.json");
  for (const HelperRow* row : all_rows()) {
    const auto& helper = probed.at(std::to_string(row->contract.id));
    if (helper.at("final") != "ok" && row->contract.id != 182) continue;  // could not be probed whole
    const auto& args = helper.at("args");
    for (std::size_t i = 0; i < args.size(); ++i)
      EXPECT_EQ(promised(row->contract.args.at(i)), observed(args[i]))
          << row->contract.name << " argument " << i + 1;
    for (std::size_t i = args.size(); i < 5 && helper.at("final") == "ok"; ++i)
      EXPECT_EQ(row->contract.args.at(i).kind, Arg::none) << row->contract.name << " argument " << i + 1;
    const std::string result = helper.at("ret").is_null() ? "scalar" : helper.at("ret").get<std::string>();
    EXPECT_EQ(result.starts_with("map_value_or_null"),
              row->contract.ret == Ret::map_value && row->contract.ret_flags == maybe_null);
  }
}

TEST(HelperTable, LookupGivesOnlyWhatTheTypeMayCallAndSkepHas) {
  EXPECT_NE(lookup(ProgType::xdp, AttachType::xdp, 44), nullptr);
  EXPECT_EQ(lookup(ProgType::raw_tracepoint, AttachType{}, 44), nullptr) << "not allowed";
  EXPECT_EQ(lookup(ProgType::xdp, AttachType::xdp, 69), nullptr) << "fib_lookup is not there yet";
  EXPECT_NE(lookup(ProgType::xdp, AttachType::xdp, 23), nullptr);
  EXPECT_EQ(lookup(ProgType::sched_cls, AttachType{}, 23), nullptr) << "tc's redirect is another one";
  EXPECT_EQ(lookup(ProgType::xdp, AttachType::xdp, UINT32_MAX), nullptr);
}

TEST(HelperTable, SymbolOffsetsAreDistinctAndCanBeTurnedBack) {
  std::set<s32> seen;
  const auto check = [&](s32 id) {
    const s32 offset = symbol_offset(id);
    EXPECT_LT(offset, 0);
    EXPECT_TRUE(seen.insert(offset).second);
    EXPECT_EQ(id_of_symbol_offset(offset), id);
  };
  for (s32 id = 1; id < max_id; ++id) check(id);
  for (s32 id = fn_internal_base + 1; id < fn_internal_end; ++id) {
    check(id);
    EXPECT_FALSE(internal_fn_name(id).empty());
  }
  for (const s32 none : {0, -1, max_id, s32{fn_internal_base}, s32{fn_internal_end}}) {
    EXPECT_EQ(symbol_offset(none), 0) << none;
    EXPECT_EQ(function(none), nullptr);
  }
  EXPECT_EQ(id_of_symbol_offset(0), 0);
  EXPECT_EQ(id_of_symbol_offset(symbol_offset(1) + 1), 0);
}

}  // namespace
}  // namespace skep::helpers
