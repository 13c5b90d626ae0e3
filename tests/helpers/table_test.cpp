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

/// Where helper_args.json asked (a type may have hooks at which more helpers may be called).
AttachType hook_asked(ProgType type) {
  switch (type) {
    case ProgType::cgroup_sock:
      return AttachType::cgroup_inet_sock_create;
    case ProgType::cgroup_sock_addr:
      return AttachType::cgroup_inet4_connect;
    case ProgType::cgroup_sockopt:
      return AttachType::cgroup_setsockopt;
    case ProgType::sock_ops:
      return AttachType::cgroup_sock_ops;
    default:
      return {};
  }
}

TEST(HelperTable, NamesAreTheKernels) {
  const auto facts = golden("helpers_by_progtype.json");
  for (const auto& [id, expected] : facts.at("names").items())
    EXPECT_EQ(name(static_cast<u32>(std::stoul(id))), expected.get<std::string>());
  EXPECT_EQ(name(0), "unknown");
  EXPECT_EQ(name(max_id), "unknown");
  EXPECT_EQ(name(UINT32_MAX), "unknown");
}

TEST(HelperTable, PermissionsAreTheKernels) {
  const auto facts = golden("helpers_by_progtype.json");
  for (const auto& [name, ids] : facts.at("by_type").items()) {
    const auto list = ids.get<std::set<u32>>();
    const ProgType type = type_of(name);
    for (u32 id = 0; id < static_cast<u32>(max_id) + 50; ++id) {
      EXPECT_EQ(allowed(type, hook_asked(type), id), list.contains(id)) << name << " " << id;
      EXPECT_EQ(lookup(type, hook_asked(type), id) != nullptr, list.contains(id)) << name << " " << id;
    }
  }
}

TEST(HelperTable, PermissionsAtEachHookAreTheKernels) {
  const auto by_type = golden("helpers_by_progtype.json").at("by_type");
  const auto hooks = golden("helpers_by_attach.json");
  for (const auto& hook : hooks) {
    auto list = by_type.at(hook.at("than").get<std::string>()).get<std::set<u32>>();
    for (const u32 id : hook.at("more")) list.insert(id);
    for (const u32 id : hook.at("less")) list.erase(id);
    const ProgType type = type_of(hook.at("type").get<std::string>());
    const auto attach = static_cast<AttachType>(hook.at("attach").get<u32>());
    for (u32 id = 0; id < static_cast<u32>(max_id); ++id) {
      // Of the iterators, only those over sockets have these two.
      if (attach == AttachType::trace_iter && (id == 49 || id == 57)) continue;
      EXPECT_EQ(allowed(type, attach, id), list.contains(id)) << hook.dump() << " " << id;
    }
  }
}

TEST(HelperTable, EveryHelperThatATypeMayCallHasAContract) {
  for (u32 t = 0; t < prog_type_count; ++t)
    for (u32 id = 1; id < static_cast<u32>(max_id); ++id) {
      const auto type = static_cast<ProgType>(t);
      for (const AttachType attach : {hook_asked(type), AttachType::trace_fexit, AttachType::lsm_cgroup}) {
        const Contract* contract = lookup(type, attach, id);
        if (!allowed(type, attach, id)) {
          EXPECT_EQ(contract, nullptr);
          continue;
        }
        ASSERT_NE(contract, nullptr) << id;
        EXPECT_EQ(contract->id, id);
        EXPECT_EQ("bpf_" + std::string(contract->name), name(id));
      }
    }
}

TEST(HelperTable, CodeIsOnlyForHelpersThatExist) {
  u32 with_code = 0;
  for (s32 id = 1; id < max_id; ++id) with_code += function(ProgType::xdp, id) != nullptr ? 1 : 0;
  EXPECT_GT(with_code, 20u);
  EXPECT_EQ(function(ProgType::xdp, 0), nullptr);
  EXPECT_EQ(function(ProgType::xdp, max_id), nullptr);
}

/// What helper_args.json found: "expected=" text and whether a constant 0 (NULL, size 0) is taken.
std::string observed(const nlohmann::json& arg) {
  const std::string expected =
      arg.at("expected").is_null() ? "anything" : arg.at("expected").get<std::string>();
  std::string kind = expected.starts_with("fp, pkt") ? "memory" : expected;
  const auto accepted = arg.at("accept").get<std::set<std::string>>();
  if (kind != "anything" && accepted.contains("const0")) kind += " or 0";
  return kind;
}
std::string promised(const ArgSpec& arg) {
  const std::string or_null = (arg.flags & maybe_null) != 0 ? " or 0" : "";
  switch (arg.kind) {
    case Arg::anything:
      return "anything";
    case Arg::const_map_ptr:
      return "map_ptr";
    case Arg::ctx:
      return "ctx" + or_null;
    case Arg::map_key:
    case Arg::map_value:
    case Arg::mem:
      return "memory" + or_null;
    case Arg::const_size:
      return "scalar";
    case Arg::const_alloc_size:
    case Arg::const_size_or_zero:
      return "scalar or 0";
    case Arg::const_str:
    case Arg::timer:
      return "map_value";
    case Arg::kptr:
      return "map_value, ptr_";
    case Arg::func:
      return "func";
    case Arg::stack:
      return "fp" + or_null;
    case Arg::ringbuf_mem:
      return "ringbuf_mem";
    case Arg::spin_lock:
      return "map_value, ptr_";
    case Arg::sock_common:
      return "sock_common, sock, tcp_sock, xdp_sock" + or_null;
    case Arg::btf_id_sock_common:
      return "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_" + or_null;
    case Arg::socket:
      return "sock" + or_null;
    case Arg::dynptr:
      return "fp, dynptr_ptr" + or_null;
    case Arg::btf_id:
      return "ptr_, trusted_ptr_, rcu_ptr_" + or_null;
    case Arg::percpu_btf_id:
      return "percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_";
    default:
      return "?";
  }
}

TEST(HelperTable, ArgumentsAreWhatTheKernelTakes) {
  u32 asked = 0;
  const auto probed = golden("helper_args.json");
  for (const auto& [number, helper] : probed.items()) {
    const ProgType type = type_of(helper.at("prog").get<std::string>());
    const Contract* contract = lookup(type, hook_asked(type), static_cast<u32>(std::stoul(number)));
    ASSERT_NE(contract, nullptr) << number;
    const auto& args = helper.at("args");
    for (std::size_t i = 0; i < args.size(); ++i, ++asked)
      EXPECT_EQ(promised(contract->args.at(i)), observed(args[i])) << contract->name << " argument " << i + 1;
    for (std::size_t i = args.size(); i < 5 && helper.at("final") == "ok"; ++i)
      EXPECT_EQ(contract->args.at(i).kind, Arg::none) << contract->name << " argument " << i + 1;
    if (helper.at("final") != "ok") continue;
    const std::string result = helper.at("ret").is_null() ? "scalar" : helper.at("ret").get<std::string>();
    EXPECT_EQ(result.find("_or_null") != std::string::npos, (contract->ret_flags & maybe_null) != 0)
        << contract->name;
    EXPECT_EQ(result.starts_with("map_value"), contract->ret == Ret::map_value) << contract->name;
  }
  EXPECT_GT(asked, 400u);
}

TEST(HelperTable, SomeTypesHaveContractsOrCodeOfTheirOwn) {
  const auto first = [](ProgType type, AttachType attach, u32 id) {
    return lookup(type, attach, id)->args[0].kind;
  };
  EXPECT_EQ(first(ProgType::sched_cls, {}, 46), Arg::ctx);
  EXPECT_EQ(first(ProgType::tracing, AttachType::trace_fentry, 46), Arg::btf_id_sock_common);
  EXPECT_EQ(first(ProgType::sock_ops, AttachType::cgroup_sock_ops, 49), Arg::ctx);
  EXPECT_EQ(first(ProgType::cgroup_sockopt, AttachType::cgroup_setsockopt, 49), Arg::btf_id_sock_common);
  EXPECT_TRUE(lookup(ProgType::kprobe, {}, 173)->gpl_only);
  EXPECT_FALSE(lookup(ProgType::kprobe, AttachType::trace_kprobe_multi, 173)->gpl_only);
  EXPECT_NE(function(ProgType::xdp, 23), nullptr);
  EXPECT_NE(function(ProgType::xdp, 23), function(ProgType::sched_cls, 23)) << "redirect differs";
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
    EXPECT_EQ(function(ProgType::xdp, none), nullptr);
  }
  EXPECT_EQ(id_of_symbol_offset(0), 0);
  EXPECT_EQ(id_of_symbol_offset(symbol_offset(1) + 1), 0);
}

}  // namespace
}  // namespace skep::helpers
