// Runs command lines in this process, against a UserKernel in a directory of the test's own.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/run.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::cli::test {

struct Ran {
  std::string out;
  std::string err;
  int status = 0;
};

/// Splits at blanks; no quoting.
inline std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// A command line that must not ask for a Kernel.
inline Ran run_without_kernel(const std::string& line) {
  StringSink out;
  StringSink err;
  Surroundings around{out, err, [](const Options&) -> Result<std::shared_ptr<Kernel>> {
                        return fail(ENOSYS, "no kernel here");
                      }};
  const int status = run(words_of(line), around);
  return {out.text(), err.text(), status};
}

inline std::string read_golden(const std::string& name) {
  std::ifstream file(std::string(SKEP_GOLDEN_DIR) + "/bpftool-v7.7.0/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The command lines of a test share one kernel.
class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/skep-cli-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    auto made = runtime::UserKernel::create({.directory = directory_, .cpus = 2});
    ASSERT_TRUE(made) << made.error().what;
    kernel_ = std::move(*made);
  }
  void TearDown() override {
    kernel_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Ran run(const std::string& line) {
    StringSink out;
    StringSink err;
    Surroundings around{out, err,
                        [this](const Options&) -> Result<std::shared_ptr<Kernel>> { return kernel_; }};
    const int status = cli::run(words_of(line), around);
    return {out.text(), err.text(), status};
  }

  std::string directory_;
  std::shared_ptr<Kernel> kernel_;
};

}  // namespace skep::cli::test
