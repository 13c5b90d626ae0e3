// All whole-program goldens: verdict, errno, last line of the log, and the whole log at levels 1, 2 and 4
// against what Linux 6.18 said. Cases that differ are listed, with the reason, in known_differences.json; one
// that differs without being listed fails, and so does one that is listed and agrees.
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "helpers/table.hpp"
#include "verifier/cases.hpp"

namespace skep::verifier {
namespace {

using namespace testing;

/// Addresses and the time that verification took say nothing about the program.
std::string comparable(const std::string& text) {
  static const std::regex time("verification time [0-9]+ usec");
  return std::regex_replace(without_addresses(text), time, "verification time N usec");
}

/// The last line that speaks of the program: before "processed ...", and before the statistics.
std::string last_line(const std::string& log) {
  std::string last;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const auto processed = line.find("processed ");
    if (processed != std::string::npos && line.find(" insns (limit") != std::string::npos)
      line.resize(processed);
    if (line.empty() || line.starts_with("verification time") || line.starts_with("stack depth")) continue;
    last = line;
  }
  return last;
}

struct Outcome {
  int code = 0;
  std::string log[3];
};

Outcome run(const Case& c) {
  Input in = c.input();
  in.helper = helpers::lookup;
  in.cpu_count = 2;
  Outcome out;
  for (u32 i = 0; i < 3; ++i) {
    const auto result = verify(in, {.level = 1u << i, .size = 1 << 20});
    out.code = result ? 0 : result.error().code;
    out.log[i] = comparable(result ? result->log().text : result.error().log.text);
  }
  return out;
}

struct Tally {
  int verdict = 0, code = 0, line = 0, logs[3] = {}, all = 0;
};

/// The first way in which the outcome differs, or nothing.
std::string difference(const Case& c, const Outcome& out, Tally& tally) {
  std::string first;
  auto note = [&](bool same, int& counter, const std::string& what) {
    if (same) {
      ++counter;
    } else if (first.empty()) {
      first = what;
    }
  };
  const int golden = c.golden["errno"];
  ++tally.all;
  note((golden == 0) == (out.code == 0), tally.verdict, "verdict");
  note(golden == out.code, tally.code, "errno");
  const std::string log1 = comparable(c.golden["log1"]);
  note(last_line(log1) == last_line(out.log[0]), tally.line, "last line");
  note(log1 == out.log[0], tally.logs[0], "log level 1");
  note(comparable(c.golden["log2"]) == out.log[1], tally.logs[1], "log level 2");
  note(comparable(c.golden["log4"]) == out.log[2], tally.logs[2], "log level 4");
  return first;
}

TEST(GoldenCases, AgreeWithTheKernelExceptTheKnownOnes) {
  std::ifstream file(SKEP_TEST_DIR "/verifier/walk/known_differences.json");
  const auto known = nlohmann::json::parse(file);
  CaseMaps maps;
  Tally tally;
  const char* show = std::getenv("SKEP_SHOW");  // a case's name: print both logs
  for (const Case& c : load_cases(maps)) {
    const Outcome out = run(c);
    const std::string found = difference(c, out, tally);
    const std::string listed = known.contains(c.name) ? known[c.name]["differs"].get<std::string>() : "";
    EXPECT_EQ(found, listed) << c.name << ": " << last_line(comparable(c.golden["log1"])) << " ["
                             << c.golden["errno"] << "], ours: " << last_line(out.log[0]) << " [" << out.code
                             << "]";
    if (show != nullptr && c.name == show)
      std::cout << "--- kernel\n" << comparable(c.golden["log2"]) << "--- skep\n" << out.log[1];
  }
  std::cout << "of " << tally.all << ": verdict " << tally.verdict << ", errno " << tally.code
            << ", last line " << tally.line << ", log level 1 " << tally.logs[0] << ", level 2 "
            << tally.logs[1] << ", level 4 " << tally.logs[2] << "\n";
  for (const auto& [name, entry] : known.items())
    EXPECT_FALSE(entry["reason"].get<std::string>().empty()) << name;
}

}  // namespace
}  // namespace skep::verifier
