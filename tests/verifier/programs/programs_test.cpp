// The C programs of this folder against what Linux 6.18 said of each: errno, last message, number of
// processed instructions, and the logs at levels 1 and 2, addresses and ids of functions apart. answers.jsonl
// holds it, with a hash of the program that clang made then: where clang makes another, only verdicts are
// compared. SKEP_RECORD=FILE writes the running kernel's answers instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/fd.hpp"
#include "btf/carried.hpp"
#include "client/linux_kernel.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::verifier {
namespace {

using nlohmann::json;

constexpr const char* objects[] = {"graph.bpf.o", "later.bpf.o", "locks.bpf.o", "sections.bpf.o"};

loader::ObjectSpec read(const std::string& name) {
  const Result<std::string> text = read_file(std::string(SKEP_VERIFIER_OBJECTS) + "/" + name);
  EXPECT_TRUE(text.has_value()) << name;
  auto spec = loader::read_object(bytes_of(text.value_or("")), name, nullptr);
  EXPECT_TRUE(spec.has_value()) << name << ": " << spec.error().what;
  return spec ? std::move(*spec) : loader::ObjectSpec();
}

/// FNV-1a over the instructions as clang left them, without what only the linking fills in.
u64 hash_of(const loader::ProgramDef& program) {
  u64 hash = 0xcbf29ce484222325;
  for (const isa::Insn& insn : program.insns) {
    for (const u64 part : {u64{insn.code}, u64{insn.dst}, u64{insn.src}, static_cast<u64>(insn.off)})
      hash = (hash ^ part) * 0x100000001b3;
  }
  return hash;
}

/// What differs from machine to machine: addresses, ids of functions, times, and the columns behind them.
std::string normal(const std::string& text) {
  std::string out = std::regex_replace(text, std::regex("0x[0-9a-f]{12,16}"), "ADDRESS");
  out = std::regex_replace(out, std::regex("#[0-9]{4,}"), "#ID");
  out = std::regex_replace(out, std::regex("verification time [0-9]+"), "verification time N");
  return std::regex_replace(out, std::regex(" +;"), " ;");
}

struct Answer {
  int code = 0;
  u64 processed = 0;
  std::string message;
  std::string log;
};

Answer ask(const loader::ObjectSpec& spec, u32 index, Kernel& kernel, const loader::Environment& environment,
           u32 level) {
  Answer answer;
  answer.code = -1;
  loader::LoadOptions options;
  options.only_program = index;
  options.ignore_pins = true;
  options.log_level = level;
  options.environment = environment;
  options.on_attempt = [&](const loader::Attempt& attempt) {
    answer.code = attempt.code;
    answer.log = normal(attempt.log);
  };
  const auto loaded = loader::load(spec, kernel, options);
  EXPECT_EQ(loaded.has_value(), answer.code == 0) << (loaded ? "" : loaded.error().what);
  std::istringstream lines(answer.log);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("processed "))
      answer.processed = std::strtoull(line.c_str() + 10, nullptr, 10);
    else if (!line.empty() && answer.code != 0)
      answer.message = line;
  }
  return answer;
}

json answer_of(const std::string& object, const loader::ObjectSpec& spec, u32 index, Kernel& kernel,
               const loader::Environment& environment) {
  const Answer brief = ask(spec, index, kernel, environment, 1);
  const Answer whole = ask(spec, index, kernel, environment, 2);
  return {{"object", object},
          {"program", spec.programs[index].name},
          {"hash", hash_of(spec.programs[index])},
          {"errno", whole.code},
          {"processed", whole.processed},
          {"message", whole.message},
          {"log1", brief.log},
          {"log2", whole.log}};
}

std::vector<json> recorded_answers() {
  std::ifstream in(SKEP_TEST_DIR "/verifier/programs/answers.jsonl");
  std::vector<json> answers;
  for (std::string line; std::getline(in, line);) answers.push_back(json::parse(line));
  return answers;
}

/// The answers by a kernel, in the objects' order. `fresh` makes a kernel for each program.
template <class Fresh>
std::vector<json> answers_by(Fresh&& fresh, const loader::Environment& environment) {
  std::vector<json> answers;
  for (const char* object : objects) {
    const loader::ObjectSpec spec = read(object);
    for (u32 i = 0; i < spec.programs.size(); ++i) {
      const auto kernel = fresh();
      answers.push_back(answer_of(object, spec, i, *kernel, environment));
    }
  }
  return answers;
}

void compare(const std::vector<json>& answers, bool logs) {
  const std::vector<json> recorded = recorded_answers();
  ASSERT_EQ(answers.size(), recorded.size());
  ASSERT_GT(recorded.size(), 70u);
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    const json& want = recorded[i];
    const json& have = answers[i];
    const std::string name = want["object"].get<std::string>() + " " + want["program"].get<std::string>();
    ASSERT_EQ(have["program"], want["program"]);
    EXPECT_EQ(have["errno"], want["errno"]) << name << "\n" << have["log2"].get<std::string>();
    if (have["hash"] != want["hash"]) continue;  // another clang
    EXPECT_EQ(have["message"], want["message"]) << name;
    EXPECT_EQ(have["processed"], want["processed"]) << name;
    if (!logs) continue;
    EXPECT_EQ(have["log1"].get<std::string>(), want["log1"].get<std::string>()) << name;
    EXPECT_EQ(have["log2"].get<std::string>(), want["log2"].get<std::string>()) << name;
  }
}

TEST(Programs, AreJudgedAsLinuxDid) {
  const btf::KernelBtf types(btf::carried_kernel_btf);
  ASSERT_NE(types.types(), nullptr);
  loader::Environment environment;
  environment.kernel_btf = types.types();
  const auto fresh = [&] {
    runtime::Config config;
    config.verify_only = true;
    config.kernel_btf = &types;
    auto kernel = runtime::UserKernel::create(config);
    EXPECT_TRUE(kernel.has_value());
    return std::move(*kernel);
  };
  compare(answers_by(fresh, environment), true);
}

TEST(Programs, TheRunningKernelStillSaysSo) {
  client::LinuxKernel probe;
  const auto map = probe.map_create(
      {.type = MapType::array, .key_size = 4, .value_size = 4, .max_entries = 1, .name = "probe"});
  if (!map) GTEST_SKIP() << "bpf(2) is refused here: " << map.error().what;
  const loader::MachineEnvironment machine = loader::machine_environment(read(objects[0]));
  if (machine.btf == nullptr || machine.btf->find(btf::Kind::func, "bpf_task_work_schedule_signal_impl") == 0)
    GTEST_SKIP() << "another kernel than 6.18";
  const std::vector<json> answers =
      answers_by([] { return std::make_unique<client::LinuxKernel>(); }, machine.environment);
  if (const char* path = std::getenv("SKEP_RECORD"); path != nullptr) {
    std::ofstream out(path);
    for (const json& answer : answers) out << answer.dump() << "\n";
    GTEST_SKIP() << "recorded";
  }
  compare(answers, false);
}

}  // namespace
}  // namespace skep::verifier
