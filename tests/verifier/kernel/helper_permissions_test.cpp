// Which helpers a program may call, by its type, hook, flags and the function that it is attached to: what
// Linux 6.18 answered when each of the 211 was called by each (helper_permissions.jsonl; fentry, fexit and
// LSM programs could not be asked). Ranges of helper ids by the kind of refusal; all others got as far as
// their arguments.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "btf/carried.hpp"
#include "btf/kernel_btf.hpp"
#include "helpers/table.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {
namespace {

using nlohmann::json;
namespace op = isa::op;

constexpr const char* kinds[] = {"cannot use", "not allowed in probe", "might sleep", "get_func_ip"};

/// The kind of refusal, empty if the call itself is allowed.
std::string ask(Input& input, s32 helper) {
  const std::vector<isa::Insn> insns = {{.code = op::JMP | op::CALL, .imm = helper},
                                        {.code = op::ALU64 | op::MOV, .imm = 1},
                                        {.code = op::JMP | op::EXIT}};
  input.insns = insns;
  const auto result = verify(input);
  if (result) return {};
  if (result.error().code == kENOTSUPP) return "get_func_ip";
  for (const char* kind : kinds)
    if (result.error().message.find(kind) != std::string::npos) return kind;
  return {};
}

std::string wanted(const json& answers, s32 helper) {
  for (const auto& [kind, ranges] : answers.items())
    for (const json& range : ranges)
      if (helper >= range[0].get<s32>() && helper <= range[1].get<s32>()) return kind;
  return {};
}

TEST(HelperPermissions, AreLinuxs) {
  const btf::KernelBtf types(btf::carried_kernel_btf);
  ASSERT_NE(types.types(), nullptr);
  std::ifstream in(SKEP_TEST_DIR "/verifier/kernel/helper_permissions.jsonl");
  u64 asked = 0;
  for (std::string line; std::getline(in, line);) {
    const json row = json::parse(line);
    Input input;
    input.type = static_cast<ProgType>(row["type"].get<u32>());
    input.expected_attach_type = static_cast<AttachType>(row["attach"].get<u32>());
    input.prog_flags = row["flags"].get<u32>();
    input.gpl_compatible = true;
    input.vmlinux = &types;
    input.helper = helpers::lookup;
    input.helper_name = helpers::name;
    input.cpu_count = 2;
    for (const std::string target : row["targets"]) {
      const auto space = target.find(' ');
      if (!target.empty()) {
        const std::string kind = target.substr(0, space);
        input.attach_btf_id = types.find(kind == "func"     ? btf::Kind::func
                                         : kind == "struct" ? btf::Kind::struct_
                                                            : btf::Kind::typedef_,
                                         target.substr(space + 1));
        if (input.attach_btf_id == 0) continue;  // not among the types that skep carries
      }
      for (s32 helper = 1; helper < helpers::max_id; ++helper, ++asked)
        EXPECT_EQ(ask(input, helper), wanted(row["answers"], helper))
            << helpers::name(static_cast<u32>(helper)) << " of type " << row["type"] << " attach "
            << row["attach"] << " flags " << row["flags"] << ' ' << target;
    }
  }
  EXPECT_GT(asked, 15000u);
}

}  // namespace
}  // namespace skep::verifier
