// Options, words and the tables of the grammar.
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/fixture.hpp"
#include "cli/tables.hpp"

namespace skep::cli::test {
namespace {

TEST(Options, AreTakenFromAnywhereAmongTheWords) {
  const auto style = [](std::string_view) { return WordStyle::permuted; };
  const auto line = parse_command_line({"prog", "-j", "show", "--pretty", "id", "3"}, style);
  EXPECT_TRUE(line.error.empty());
  EXPECT_TRUE(line.options.json && line.options.pretty);
  EXPECT_EQ(line.words, (std::vector<std::string>{"prog", "show", "id", "3"}));
}

TEST(Options, BundleAbbreviateAndEnd) {
  const auto style = [](std::string_view) { return WordStyle::permuted; };
  EXPECT_TRUE(parse_command_line({"-jf", "prog"}, style).options.bpffs);
  EXPECT_TRUE(parse_command_line({"--nom", "prog"}, style).options.nomount);
  EXPECT_EQ(parse_command_line({"--kernel=linux"}, style).options.kernel, "linux");
  EXPECT_EQ(parse_command_line({"--", "-j"}, style).words, std::vector<std::string>{"-j"});
  EXPECT_EQ(parse_command_line({"-x"}, style).error, "unrecognized option '-x'");
  EXPECT_EQ(parse_command_line({"--json=1"}, style).error, "unrecognized option '--json=1'");
  EXPECT_EQ(parse_command_line({"--base-btf"}, style).error, "unrecognized option '--base-btf'");
  EXPECT_FALSE(parse_command_line({"--kernel", "hurd"}, style).error.empty());
}

TEST(Options, OfOwnNounsReachThem) {
  const auto own = [](std::string_view) { return WordStyle::own_options; };
  const auto line = parse_command_line({"run", "a.o", "--port", "tap:x", "--json", "-n", "5"}, own);
  EXPECT_TRUE(line.options.json);
  EXPECT_FALSE(line.options.nomount);
  EXPECT_EQ(line.words, (std::vector<std::string>{"run", "a.o", "--port", "tap:x", "-n", "5"}));
  const auto verbatim = [](std::string_view) { return WordStyle::verbatim; };
  EXPECT_EQ(parse_command_line({"-d", "shell", "ls", "-j", "--", "x"}, verbatim).words,
            (std::vector<std::string>{"shell", "ls", "-j", "--", "x"}));
}

TEST(Numbers, AreWholeWordsInThreeBases) {
  EXPECT_EQ(parse_unsigned("10"), 10u);
  EXPECT_EQ(parse_unsigned("0x1F"), 31u);
  EXPECT_EQ(parse_unsigned("010"), 8u);
  EXPECT_EQ(parse_unsigned("ff", 16), 255u);
  EXPECT_EQ(parse_unsigned("0"), 0u);
  for (const char* bad : {"", "abc", "1x", "-1", " 1", "0x", "08", "99999999999999999999"})
    EXPECT_FALSE(parse_unsigned(bad)) << bad;
  EXPECT_FALSE(parse_u32("4294967296", "ID"));
}

TEST(Grammar, UsageTextsAreTheRecordedOnes) {
  for (const char* name :
       {"136-bad-object", "137-bad-cmd", "138-bad-opt", "139-no-args", "140-help", "141-prog-help",
        "142-map-help", "143-net-help", "144-link-help", "145-btf-help", "001-version", "002-version-json"}) {
    const std::string golden = name;
    const Ran ran = run_without_kernel(read_golden(golden + ".cmd"));
    EXPECT_EQ(ran.out, read_golden(golden + ".stdout")) << golden;
    EXPECT_EQ(ran.err, read_golden(golden + ".stderr")) << golden;
    EXPECT_EQ(ran.status, std::stoi(read_golden(golden + ".exit"))) << golden;
  }
}

TEST(Grammar, AbbreviationsMeanTheFirstRow) {
  EXPECT_EQ(find_noun("p")->name, "prog");
  EXPECT_EQ(find_noun("n")->name, "net");
  EXPECT_EQ(find_noun("ma")->name, "map");
  EXPECT_EQ(find_noun("s")->name, "struct_ops");
  EXPECT_EQ(find_noun("nosuch"), nullptr);
  EXPECT_EQ(run_without_kernel("bpftool prog d").err, run_without_kernel("bpftool prog dump").err);
}

TEST(Grammar, WhatIsNotSupportedSaysSo) {
  for (const char* line : {"bpftool iter pin a.o /sys/fs/bpf/x", "bpftool struct_ops register x",
                           "bpftool prog profile id 1 cycles"}) {
    const Ran ran = run_without_kernel(line);
    EXPECT_EQ(ran.status, 255) << line;
    EXPECT_NE(ran.err.find("is not supported by skep"), std::string::npos) << ran.err;
  }
}

TEST(Grammar, ErrorsAreJsonWithJson) {
  const Ran ran = run_without_kernel("bpftool -j prog load");
  EXPECT_EQ(ran.out, "{\"error\":\"'load' needs at least 2 arguments, 0 found\"}\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(ran.status, 255);
}

TEST(Manual, MentionsEveryNounVerbAndOption) {
  std::ifstream file(SKEP_TEST_DIR "/../docs/skep.1");
  std::ostringstream text;
  text << file.rdbuf();
  std::string manual = text.str();
  std::erase(manual, '\\');
  for (const Noun& noun : nouns()) {
    EXPECT_NE(manual.find(".SS " + std::string(noun.name)), std::string::npos) << noun.name;
    for (const Verb& verb : noun.verbs)
      EXPECT_NE(manual.find(fmt::format(".B skep {} {}", noun.name, verb.name)), std::string::npos)
          << noun.name << " " << verb.name;
  }
  for (const std::string& option : option_words())
    EXPECT_NE(manual.find(option), std::string::npos) << option;
}

TEST(Completion, KnowsEveryVerbAndIsAScript) {
  const Ran ran = run_without_kernel("skep completion bash");
  ASSERT_EQ(ran.status, 0);
  for (const Noun& noun : nouns())
    for (const Verb& verb : noun.verbs) EXPECT_NE(ran.out.find(verb.name), std::string::npos) << verb.name;
  const std::string path = testing::TempDir() + "/skep-completion.bash";
  std::ofstream(path) << ran.out << "COMP_WORDS=(skep map u); COMP_CWORD=2; _skep; echo \"${COMPREPLY[*]}\" >"
                      << path << ".out\n";
  ASSERT_EQ(std::system(("bash " + path).c_str()), 0);
  std::ifstream answer(path + ".out");
  std::string words;
  std::getline(answer, words);
  EXPECT_EQ(words, "update");
  EXPECT_EQ(run_without_kernel("skep completion fish").status, 255);
}

}  // namespace
}  // namespace skep::cli::test
