// `prog dump jited`: the kernel's machine code, recorded with what bpftool (linked with LLVM) said of it.
#include <nlohmann/json.hpp>

#include "cli/fixture.hpp"
#include "cli/jited_view.hpp"

namespace skep::cli::test {
namespace {

/// Where the recorded program stood: its call of bpf_trace_printk (e8 9e 6b 49 c1 at 0x29) goes to
/// 0xffffffff814bd860.
constexpr u64 address = 0xffffffffc0026c94;
constexpr const char* symbol = "bpf_prog_490c48c1179970a8_hello";

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Without source lines and prototype, which are of the program's BTF and not of its code.
std::string code_only(const std::string& text) {
  std::string out;
  for (const std::string& line : lines_of(text))
    if (!line.starts_with(";") && !line.starts_with("int ")) out += line + "\n";
  return out;
}

ProgramInfo recorded() {
  ProgramInfo info;
  for (const std::string& line : lines_of(read_golden("037-dump-jited-opcodes.stdout"))) {
    if (!line.starts_with("\t")) continue;
    std::istringstream bytes(line);
    for (u32 byte = 0; bytes >> std::hex >> byte;) info.jited.push_back(static_cast<std::byte>(byte));
  }
  info.jited_ksyms = {address};
  info.jited_func_lens = {static_cast<u32>(info.jited.size())};
  return info;
}

class Jited : public ::testing::Test {
 protected:
  void SetUp() override {
    SymbolTable symbols;
    symbols.symbols.push_back({address, symbol});
    auto view = view_jited(recorded(), nullptr, symbols);
    ASSERT_TRUE(view);
    view_ = *std::move(view);
    ASSERT_EQ(view_.functions.size(), 1u);
    EXPECT_EQ(view_.functions[0].insns.size(), 17u);
  }
  std::string plain(bool opcodes) {
    StringSink out, err;
    Surroundings around{out, err, {}};
    Options options;
    Cli cli(around, options, "bpftool");
    print_jited_plain(cli, view_, {.opcodes = opcodes});
    return out.text();
  }
  JitedView view_;
};

TEST_F(Jited, IsPrintedAsRecorded) {
  EXPECT_EQ(plain(false), code_only(read_golden("036-dump-jited.stdout")));
}

TEST_F(Jited, HasItsOpcodesAsRecorded) {
  EXPECT_EQ(plain(true), code_only(read_golden("037-dump-jited-opcodes.stdout")));
}

TEST_F(Jited, IsJsonAsRecorded) {
  StringSink out, err;
  Surroundings around{out, err, {}};
  Options options;
  options.json = true;
  Cli cli(around, options, "bpftool");
  print_jited_json(cli.json(), view_, {});
  auto want = nlohmann::json::parse(read_golden("039-dump-jited-json.stdout"));
  want[0].erase("proto");
  for (auto& insn : want[0]["insns"]) insn.erase("src");
  EXPECT_EQ(nlohmann::json::parse(out.text()), want);
}

}  // namespace
}  // namespace skep::cli::test
