// The disassembler against what Linux 6.18 printed: verifier logs and `dump xlated`.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "isa/asm.hpp"
#include "isa/disasm.hpp"
#include "isa/form.hpp"

namespace skep::isa {
namespace {

std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

std::vector<Insn> insns_of(const std::string& hex) {
  std::vector<Insn> result(hex.size() / 16);
  std::vector<u8> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<u8>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  std::memcpy(result.data(), bytes.data(), result.size() * 8);
  return result;
}

/// "index, live registers or nothing, text" of each instruction line of a log.
struct LogLine {
  std::size_t index;
  std::string text;
};
std::vector<LogLine> instruction_lines(const std::string& log) {
  static const std::regex shape(R"(^ *(?:\d+ +)?(\d+): (?:[0-9.]{10} )?(\([0-9a-f]{2}\) .*)$)");
  std::vector<LogLine> result;
  std::stringstream in(log);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, shape)) continue;
    std::string text = match[2];
    // A register state may follow on the same line, "goto pc+2 7: R1=...", or after "; ".
    text = std::regex_replace(text, std::regex(R"(\s+;.*$|\s+\d+: R\d.*$)"), "");
    result.push_back({std::stoul(match[1]), text});
  }
  return result;
}

const nlohmann::json& helper_names() {
  static const nlohmann::json names = nlohmann::json::parse(
      slurp(std::filesystem::path(SKEP_GOLDEN_DIR) / "helpers_by_progtype.json"))["names"];
  return names;
}

/// Helper names as the verifier gives them to the printer; kernel functions take the log's name.
std::string call_text(const void*, const Insn& insn) {
  if (insn.src != 0) return {};
  const auto& names = helper_names();
  const std::string id = std::to_string(insn.imm);
  if (insn.imm == 0) return "bpf_unspec#0";
  if (!names.contains(id)) return {};
  return names[id].get<std::string>() + "#" + id;
}

TEST(Disassembler, PrintsEveryInstructionOfTheVerifierLogsAsTheKernelDoes) {
  const auto cases =
      nlohmann::json::parse(slurp(std::filesystem::path(SKEP_GOLDEN_DIR) / "verifier/cases.json"));
  const std::regex kernel_address(R"(0xffff[0-9a-f]{12}$)"), kfunc(R"(call \w+#\d+$)");
  int lines = 0;
  for (const auto& c : cases) {
    const std::vector<Insn> insns = insns_of(c["insns"]);
    for (const char* level : {"log1", "log2"}) {
      if (!c[level].is_string()) continue;
      for (const LogLine& line : instruction_lines(c[level])) {
        ASSERT_LT(line.index, insns.size()) << c["name"];
        const auto at = std::span(insns).subspan(line.index);
        std::string text = disassemble(at, {.call = call_text});
        std::string expected = line.text;
        if (expected.starts_with("(18)") && at[0].src != 0) {  // a kernel address stands for the descriptor
          expected = expected.substr(0, expected.find("= "));
          text = text.substr(0, text.find("= "));
        }
        if (at[0].code == 0x85 && at[0].src == 2) continue;
        // Appended without a newline by the kernel: the message of a refusal.
        expected = expected.substr(0, expected.find(" infinite loop"));
        if (text.starts_with("(85) call unknown") && expected.find("unknown") == std::string::npos) {
          ADD_FAILURE() << "no name for " << expected;
        }
        EXPECT_EQ(text, expected) << c["name"] << " instruction " << line.index;
        ++lines;
      }
    }
  }
  EXPECT_GT(lines, 1500);
}

std::string fixed_text(const void* self, const Insn&) { return *static_cast<const std::string*>(self); }
std::string fixed_imm(const void* self, const Insn&, u64) { return *static_cast<const std::string*>(self); }

/// A line as text -> instruction -> the same text. The call and the ld_imm64 texts pass through a symbol.
void expect_round_trip(const std::string& text, const std::string& where) {
  std::string statement = text, word;
  if (text.starts_with("(85) call ")) {
    word = text.substr(10);
    statement = word.starts_with("pc") ? text.substr(0, text.find('#')) : "call 1";
  } else if (text.starts_with("(18) ")) {
    word = text.substr(text.find("= ") + 2);
    if (!word.starts_with("0x")) statement = text.substr(0, text.find("= ") + 2) + "0 ll";
  }
  const auto insns = assemble(statement);
  ASSERT_TRUE(insns.has_value()) << where << ": " << insns.error().what;
  EXPECT_EQ(disassemble(*insns, word.empty() ? Symbols{} : Symbols{&word, fixed_text, fixed_imm}), text)
      << where;
}

TEST(Disassembler, RoundTripsEveryLineOfTheLogsAndDumpsOfCompiledPrograms) {
  int lines = 0;
  for (const char* folder : {"verifier_c", "bpftool-v7.7.0"})
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(SKEP_GOLDEN_DIR) / folder)) {
      const std::string name = entry.path().filename();
      const bool dump = name.find("dump-xlated") != std::string::npos && name.ends_with(".stdout") &&
                        name.find("visual") == std::string::npos;
      if (!name.ends_with(".log") && !name.ends_with(".xlated") && !dump) continue;
      for (const LogLine& line : instruction_lines(slurp(entry.path()))) {
        expect_round_trip(line.text, name);
        ++lines;
      }
    }
  EXPECT_GT(lines, 1000);
}

TEST(Assembler, ReadsTheSourceOfEveryVerifierCase) {
  const auto cases =
      nlohmann::json::parse(slurp(std::filesystem::path(SKEP_GOLDEN_DIR) / "verifier/cases.json"));
  int compared = 0;
  for (const auto& c : cases) {
    if (c["asm"].empty()) continue;
    const std::vector<Insn> expected = insns_of(c["insns"]);
    std::string source;
    for (const auto& line : c["asm"]) source += line.get<std::string>() + "\n";
    // Map names stand for the descriptors of the run that made the file: take them from the bytes.
    std::vector<std::string> spelled;
    std::map<std::string, s32> found;
    std::vector<AsmName> names;
    static const std::regex map_use(R"(= (?:map|mapval) (\w+))");
    for (auto it = std::sregex_iterator(source.begin(), source.end(), map_use); it != std::sregex_iterator();
         ++it)
      spelled.push_back((*it)[1]);
    std::size_t next = 0;
    for (std::size_t i = 0; i < expected.size() && next < spelled.size(); ++i)
      if (is_ld_imm64(expected[i])) {
        if (expected[i].src == 1 || expected[i].src == 2) found[spelled[next++]] = expected[i].imm;
        ++i;
      }
    for (const auto& [name, fd] : found) names.push_back({name, fd});
    const auto insns = assemble(source, names);
    ASSERT_TRUE(insns.has_value()) << c["name"] << ": " << insns.error().what << "\n" << source;
    EXPECT_EQ(*insns, expected) << c["name"] << "\n" << source;
    ++compared;
  }
  EXPECT_GT(compared, 200);
}

}  // namespace
}  // namespace skep::isa
