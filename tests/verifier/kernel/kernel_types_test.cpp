// Programs that need the kernel's types: kernel functions, iterators, tracing contexts. What Linux 6.18 said
// of each is in cases.jsonl (errno, last message, instructions walked); functions and types are named there,
// as their ids differ from machine to machine. Needs a vmlinux BTF; where there is none the test is skipped.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "base/fd.hpp"
#include "btf/carried.hpp"
#include "btf/kernel_btf.hpp"
#include "helpers/table.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {
namespace {

using isa::Insn;
using nlohmann::json;
namespace op = isa::op;

using Bytes = Result<std::vector<std::byte>>;

Bytes machine_bytes() {
  const std::string text = TRY(read_file("/sys/kernel/btf/vmlinux"));
  const ByteView bytes = bytes_of(text);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

/// "b7 0 0 0 0" (code dst src off imm) or "call bpf_iter_num_new".
Insn assemble(const std::string& text, const btf::KernelBtf& types) {
  std::istringstream in(text);
  std::string first;
  in >> first;
  if (first == "call") {
    std::string name;
    in >> name;
    return {.code = op::JMP | op::CALL, .src = 2, .imm = static_cast<s32>(types.find(btf::Kind::func, name))};
  }
  int dst = 0, src = 0, off = 0;
  s64 imm = 0;
  in >> dst >> src >> off >> imm;
  Insn insn;
  insn.code = static_cast<u8>(std::stoul(first, nullptr, 16));
  insn.dst = static_cast<u8>(dst) & 15;
  insn.src = static_cast<u8>(src) & 15;
  insn.off = static_cast<s16>(off);
  insn.imm = static_cast<s32>(imm);
  return insn;
}

struct Answer {
  int code = 0;
  u32 processed = 0;
  std::string message;
  std::string log;
};

Answer ask(const json& recorded, const btf::KernelBtf& types) {
  std::vector<Insn> insns;
  for (const std::string text : recorded["insns"]) insns.push_back(assemble(text, types));
  Input input;
  input.type = static_cast<ProgType>(recorded["type"].get<u32>());
  input.expected_attach_type = static_cast<AttachType>(recorded["attach_type"].get<u32>());
  input.prog_flags = recorded["flags"].get<u32>();
  input.gpl_compatible = recorded["gpl"].get<bool>();
  input.insns = insns;
  input.vmlinux = &types;
  input.helper = helpers::lookup;
  input.helper_name = helpers::name;
  if (recorded.contains("attach"))
    input.attach_btf_id = types.find(static_cast<btf::Kind>(recorded["attach"][0].get<u8>()),
                                     recorded["attach"][1].get<std::string>());
  const auto result = verify(input, {1, 1u << 20});
  if (result) return {0, result->processed_insns(), "", result->log().text};
  std::string message =
      std::regex_replace(result.error().message, std::regex("attach_btf_id \\d+"), "attach_btf_id N");
  return {result.error().code, result.error().processed_insns, message, result.error().log.text};
}

std::vector<json> recorded_cases() {
  std::ifstream in(SKEP_TEST_DIR "/verifier/kernel/cases.jsonl");
  std::vector<json> cases;
  for (std::string line; std::getline(in, line);) cases.push_back(json::parse(line));
  return cases;
}

void compare(const btf::KernelBtf& types) {
  const std::vector<json> cases = recorded_cases();
  ASSERT_GT(cases.size(), 50u);
  for (const json& recorded : cases) {
    const Answer answer = ask(recorded, types);
    const std::string name = recorded["name"];
    EXPECT_EQ(answer.code, recorded["errno"].get<int>()) << name << "\n" << answer.log;
    EXPECT_EQ(answer.message, recorded["message"].get<std::string>()) << name;
    if (!recorded["processed"].is_null()) {
      EXPECT_EQ(answer.processed, recorded["processed"].get<u32>()) << name << "\n" << answer.log;
    }
  }
}

TEST(KernelTypes, AgreeWithTheKernelByTheTypesThatSkepCarries) {
  const btf::KernelBtf types(btf::carried_kernel_btf);
  ASSERT_NE(types.types(), nullptr);
  compare(types);
}

TEST(KernelTypes, AgreeWithTheKernelByTheMachinesTypes) {
  const btf::KernelBtf types(machine_bytes);
  if (types.types() == nullptr) GTEST_SKIP() << "no /sys/kernel/btf/vmlinux";
  if (types.find(btf::Kind::func, "bpf_iter_kmem_cache_new") == 0) GTEST_SKIP() << "another kernel than 6.18";
  compare(types);
}

TEST(KernelTypes, WithoutThemTheirUsersAreRefused) {
  const btf::KernelBtf none([]() -> Result<std::vector<std::byte>> { return fail(ENOENT, "none"); });
  const std::vector<Insn> insns = {{.code = op::JMP | op::CALL, .src = 2, .imm = 1},
                                   {.code = op::ALU64 | op::MOV, .dst = 0},
                                   {.code = op::JMP | op::EXIT}};
  Input input;
  input.type = ProgType::xdp;
  input.gpl_compatible = true;
  input.insns = insns;
  for (const btf::KernelBtf* vmlinux : {static_cast<const btf::KernelBtf*>(nullptr), &none}) {
    input.vmlinux = vmlinux;
    const auto result = verify(input);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message,
              "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF");
  }
}

}  // namespace
}  // namespace skep::verifier
