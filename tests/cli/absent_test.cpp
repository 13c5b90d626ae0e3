// Nouns of what skep has none of, and control groups: what bpftool 7.5 said of a machine without any.
#include "cli/fixture.hpp"

namespace skep::cli::test {
namespace {

struct Case {
  const char* line;
  int status;
  const char* out;
  const char* err;
};
constexpr Case kCases[] = {
    {"perf", 0, "", ""},
    {"-j perf list", 0, "[]\n", ""},
    {"struct_ops", 0, "", ""},
    {"-j struct_ops list", 0, "[]\n", ""},
    {"struct_ops dump", 0, "[]\n", ""},
    {"-p struct_ops dump", 0, "[]\n", ""},
    {"struct_ops show id 3", 255, "", "Error: can't get map by id (3): No such file or directory\n"},
    {"struct_ops show name foo", 255, "", "Error: no struct_ops found for foo\n"},
    {"struct_ops unregister id 4", 255, "", "Error: can't get map by id (4): No such file or directory\n"},
    {"token", 0, "", ""},
    {"-j token list", 0, "[]\n", ""},
    {"cgroup", 255, "", "Error: 'cgroup' needs at least 1 arguments, 0 found\n"},
    {"cgroup show /nosuch", 255, "", "Error: can't open cgroup /nosuch\n"},
    {"cgroup show /tmp", 255, "", "Error: can't query bpf programs attached to /tmp: Bad file descriptor\n"},
    {"cgroup show /tmp foo", 255, "", "Error: expected no more arguments, 'effective', got: 'foo'?\n"},
    {"cgroup attach", 255, "", "Error: too few parameters for cgroup attach\n"},
    {"cgroup attach /tmp foo id 1", 255, "", "Error: invalid attach type\n"},
    {"cgroup attach /tmp ingress id 999999", 255, "",
     "Error: get by id (999999): No such file or directory\n"},
    {"prog profile", 234, "", "Error: 'profile' needs at least 3 arguments, 0 found\n"},
    {"link show id 99", 254, "", "Error: failed to get link with ID 99: No such file or directory\n"},
};

class Absent : public CommandLine {};

TEST_F(Absent, ListsAreEmptyAndTheRestIsRefused) {
  for (const Case& one : kCases) {
    const Ran ran = run(std::string("bpftool ") + one.line);
    EXPECT_EQ(ran.status, one.status) << one.line;
    EXPECT_EQ(ran.out, one.out) << one.line;
    EXPECT_EQ(ran.err, one.err) << one.line;
  }
}

TEST_F(Absent, TooFewWordsHaveTheUsageBehindThem) {
  for (const char* line : {"iter pin x", "gen", "gen object x", "gen skeleton", "btf dump"}) {
    const Ran ran = run(std::string("bpftool ") + line);
    EXPECT_EQ(ran.status, 255) << line;
    EXPECT_TRUE(ran.err.starts_with("Error: '")) << line << ": " << ran.err;
    EXPECT_NE(ran.err.find("\nUsage: bpftool "), std::string::npos) << line << ": " << ran.err;
  }
}

}  // namespace
}  // namespace skep::cli::test
