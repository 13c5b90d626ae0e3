// Whatever words are typed, the answer is one JSON document, one line of error, or the usage; nothing crashes
// and nothing is left behind.
#include <nlohmann/json.hpp>

#include "cli/fixture.hpp"
#include "cli/tables.hpp"

namespace skep::cli::test {
namespace {

using BadWords = CommandLine;

constexpr const char* kRests[] = {
    "",
    " x",
    " id",
    " id 5",
    " id -1",
    " id 4294967296",
    " name",
    " name nosuch",
    " tag zz",
    " tag 0123456789abcdef",
    " pinned",
    " pinned /nosuch",
    " pinned /sys/fs/bpf/nosuch",
    " xlated id 5",
    " xlated name nosuch opcodes linum visual",
    " jited tag 0123456789abcdef file",
    " /nosuch.o /sys/fs/bpf/x type xdp map name a id 5 pinmaps /sys/fs/bpf/y",
    " /nosuch.o /sys/fs/bpf/x type nosuch",
    " /dev/null /sys/fs/bpf/x",
    " id 5 data_in /dev/null repeat x",
    " id 5 data data_in",
    " xdp id 5 dev nosuch0",
    " xdp id 5 dev",
    " foo id 5 dev lo",
    " xdp dev nosuch0",
    " prog id 5 format c",
    " file /dev/null format raw",
    " file /nosuch root_id 4",
    " map name nosuch key format",
    " /sys/fs/bpf/m type hash key 4 value 4 entries",
    " /sys/fs/bpf/m type hash key x value 4 entries 1 name m",
    " /sys/fs/bpf/m type hash key 4 value 4 entries 0 name m",
    " id 5 key hex hex value hex any",
    " \xff\xfe\x80",
    " % {} {0} %s %n",
};

/// Those that change this process or wait for somebody.
bool is_left_out(std::string_view noun, std::string_view verb) {
  return noun == "shell" || noun == "run" || noun == "daemon" || verb == "tracelog";
}

TEST_F(BadWords, AreAnsweredInJson) {
  for (const Noun& noun : nouns()) {
    std::vector<std::string_view> verbs{""};
    for (const Verb& verb : noun.verbs) verbs.push_back(verb.name);
    for (const std::string_view verb : verbs) {
      if (is_left_out(noun.name, verb)) continue;
      for (const char* rest : kRests) {
        const std::string line = fmt::format("{} {}{}", noun.name, verb, rest);
        const Ran ran = run("bpftool -j " + line);
        const bool is_json = !nlohmann::json::parse(ran.out, nullptr, false).is_discarded();
        EXPECT_TRUE(is_json || ran.out == "\n" || noun.name == "completion") << line << ": " << ran.out;
        const Ran plain = run("skep " + line);
        if (plain.err.starts_with("Error: ") && plain.err.find("Usage: ") == std::string::npos) {
          EXPECT_EQ(std::count(plain.err.begin(), plain.err.end(), '\n'), 1) << line << ": " << plain.err;
        }
        EXPECT_TRUE(plain.status >= 0 && plain.status <= 255) << line;
      }
    }
  }
  EXPECT_EQ(run("bpftool map list").out, "");
  EXPECT_EQ(run("bpftool prog list").out, "");
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/fs"));
}

}  // namespace
}  // namespace skep::cli::test
