// Replays the recorded bpftool 7.7 session command by command and compares stdout, stderr and exit status.
// The file differences.txt lists, with reasons, the commands whose result is not equal; it must be right in
// both directions.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "golden_cli/normalise.hpp"
#include "golden_cli/sandbox.hpp"

namespace skep::test {
namespace {

namespace fs = std::filesystem;
const std::string kRecording = SKEP_GOLDEN_DIR "/bpftool-v7.7.0";

struct Expectation {
  std::string likeness = "equal";
  std::string reason;
};

/// NUMBER LIKENESS REASON; "skip" instead of a likeness: the command is not run.
std::map<int, Expectation> read_expectations() {
  std::map<int, Expectation> list;
  std::ifstream file(SKEP_DIFFERENCES);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    int number = 0;
    Expectation expectation;
    words >> number >> expectation.likeness;
    std::getline(words >> std::ws, expectation.reason);
    list[number] = expectation;
  }
  return list;
}

struct Recorded {
  int number = 0;
  std::string name;
  std::string command, out, err;
  int status = 0;
};

std::vector<Recorded> read_recording() {
  std::vector<Recorded> list;
  for (const auto& entry : fs::directory_iterator(kRecording)) {
    if (entry.path().extension() != ".cmd") continue;
    const std::string stem = (entry.path().parent_path() / entry.path().stem()).string();
    Recorded r;
    r.name = entry.path().stem().string();
    r.number = std::stoi(r.name);
    r.command = read_text(stem + ".cmd");
    r.out = read_text(stem + ".stdout");
    r.err = read_text(stem + ".stderr");
    r.status = std::stoi(read_text(stem + ".exit"));
    list.push_back(std::move(r));
  }
  std::sort(list.begin(), list.end(),
            [](const Recorded& a, const Recorded& b) { return a.number < b.number; });
  return list;
}

/// The recorded commands name objects by the ids they had then.
class Ids {
 public:
  void learn(Sandbox& sandbox) {
    const auto programs =
        nlohmann::json::parse(sandbox.run("bpftool -j prog show name hello").out, nullptr, false);
    const auto& program = programs.is_array() && !programs.empty() ? programs[0] : programs;
    if (!program.is_object() || !program.contains("id")) return;
    program_ = std::to_string(program["id"].get<int>());
    btf_ = std::to_string(program.value("btf_id", 0));
  }
  [[nodiscard]] std::string in(std::string command) const {
    if (!program_.empty()) replace(command, "id 4837", "id " + program_);
    if (!btf_.empty()) replace(command, "id 807", "id " + btf_);
    return command;
  }

 private:
  static void replace(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  }
  std::string program_, btf_;
};

/// What the one who recorded did between the commands: each before the command of that number.
const std::map<int, std::string>& between() {
  static const std::map<int, std::string> steps{
      // bpftool mounts a file system where it is told to pin; skep does not, so the same object is pinned
      // elsewhere.
      {113,
       "bpftool prog show pinned /tmp/nobpffs/pin >/dev/null 2>&1 || "
       "bpftool prog load hello.bpf.o /sys/fs/bpf/in-place-of-nobpffs"},
      {121, "rm -f /sys/fs/bpf/x2"},
      {150, "rm -f /sys/fs/bpf/hello2"},
      {161, "rm -f /sys/fs/bpf/hello"},
      {168, "rm -f /sys/fs/bpf/hello"},
      {181, "tc qdisc del dev eth0 clsact 2>/dev/null"},
  };
  return steps;
}

/// Frames that passed eth0 before the command of that number, as the counter in hello.bss tells.
const std::map<int, int>& frames_before() {
  static const std::map<int, int> frames{{60, 5}, {76, 1}};
  return frames;
}

/// Sends them and waits until the program has counted them.
void send_frames(Sandbox& sandbox, int count) {
  const auto counted = [&sandbox] {
    const auto dump =
        nlohmann::json::parse(sandbox.run("bpftool -j map dump name hello.bss").out, nullptr, false);
    const nlohmann::json::json_pointer where("/0/formatted/value/.bss/0/counter");
    return dump.is_array() && dump.contains(where) ? dump[where].get<int>() : -1;
  };
  const int before = counted();
  ASSERT_TRUE(sandbox.send_frames(count));
  for (int i = 0; i < 50 && counted() < before + count; ++i) usleep(20'000);
}

std::string summary_of(const Recorded& recorded, const CommandResult& now) {
  return fmt::format(
      "$ {}\n--- recorded stdout\n{}--- stdout\n{}--- recorded stderr\n{}--- stderr\n{}--- exit {} / {}\n",
      recorded.command, normalised(recorded.out), normalised(now.out), normalised(recorded.err),
      normalised(now.err), recorded.status, now.status);
}

TEST(Golden, EveryRecordedCommandAnswersAsRecorded) {
  std::string why_not;
  Sandbox sandbox(why_not);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const auto expectations = read_expectations();
  Ids ids;
  std::map<std::string, int> counts;
  std::string listing;
  const bool verbose = std::getenv("SKEP_GOLDEN_VERBOSE") != nullptr;
  const bool own_kernel = std::getenv("SKEP_GOLDEN_KERNEL") == nullptr;

  for (const Recorded& recorded : read_recording()) {
    if (const auto step = between().find(recorded.number); step != between().end())
      (void)sandbox.run(step->second);
    if (const auto frames = frames_before().find(recorded.number); frames != frames_before().end())
      send_frames(sandbox, frames->second);
    const auto found = expectations.find(recorded.number);
    const Expectation expected = found == expectations.end() ? Expectation{} : found->second;
    if (expected.likeness == "skip") {
      ++counts["skip"];
      listing += fmt::format("  {} skip: {}\n", recorded.name, expected.reason);
      continue;
    }
    const CommandResult now = sandbox.run(ids.in(recorded.command));
    if (recorded.number == 12) ids.learn(sandbox);
    Likeness likeness =
        std::max(compare_output(recorded.out, now.out), compare_errors(recorded.err, now.err));
    if (now.status != recorded.status) likeness = Likeness::differs;
    ++counts[name_of(likeness)];
    if (likeness != Likeness::equal)
      listing += fmt::format("  {} {}: {}\n", recorded.name, name_of(likeness), expected.reason);
    const bool as_expected = name_of(likeness) == expected.likeness;
    if (own_kernel) {
      EXPECT_TRUE(as_expected) << recorded.name << ": expected " << expected.likeness << ", is "
                               << name_of(likeness) << "\n"
                               << summary_of(recorded, now);
    } else if (verbose && likeness != Likeness::equal) {
      std::cout << summary_of(recorded, now);
    }
  }
  std::cout << fmt::format(
      "{} commands: {} equal, {} but for the engine, {} but for libbpf's wording, {} differ, {} not run\n{}",
      read_recording().size(), counts["equal"], counts["engine"], counts["wording"], counts["differs"],
      counts["skip"], listing);
}

// The comparison itself must tell apart what it should.
TEST(Normalise, TellsWhatDiffersFromWhatVaries) {
  EXPECT_EQ(compare_output("4837: xdp  name hello  tag 490c48c1179970a8  gpl\n",
                           "1: xdp  name hello  tag 490c48c1179970a8  gpl\n"),
            Likeness::equal);
  EXPECT_EQ(compare_output("4837: xdp  name hello  tag 490c48c1179970a8  gpl\n",
                           "1: xdp  name hello  tag 490c48c1179970a9  gpl\n"),
            Likeness::differs);
  EXPECT_EQ(
      compare_output("\txlated 96B  jited 68B  memlock 4096B\n", "\txlated 96B  not jited  memlock 4096B\n"),
      Likeness::engine);
  EXPECT_EQ(compare_output("\txlated 96B  jited 68B\n", "\txlated 88B  not jited\n"), Likeness::differs);
  EXPECT_EQ(compare_output("{\"id\":3,\"name\":\"a\"}", "{\"id\":9,\"name\":\"a\"}"), Likeness::equal);
  EXPECT_EQ(compare_output("{\"id\":3,\"name\":\"a\"}", "{\"id\":9,\"name\":\"b\"}"), Likeness::differs);
  EXPECT_EQ(compare_output("[1]", "[1"), Likeness::differs);
  EXPECT_EQ(compare_output("map_ids 1378,1379\n", "map_ids 4,5\n"), Likeness::equal);
  EXPECT_EQ(compare_output("map_ids 1378,1379\n", "map_ids 4\n"), Likeness::differs);
  EXPECT_EQ(compare_output("00000000: 1826 0000 6205 0000 0000 0000 0000 0000  .&..b...........\n",
                           "00000000: 1826 0000 0100 0000 0000 0000 0000 0000  .&..............\n"),
            Likeness::equal);
  EXPECT_EQ(compare_errors("libbpf: a\nError: x\n", "libbpf: b\nError: x\n"), Likeness::wording);
  EXPECT_EQ(compare_errors("libbpf: a\nError: x\n", "Error: x\n"), Likeness::differs);
}

}  // namespace
}  // namespace skep::test
