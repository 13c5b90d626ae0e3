// Settings of `lo` and the journal that lets the next process undo what a killed one left.
#include "net/sysctl.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "net/testbed.hpp"

namespace skep::testing {
namespace {

using net::ScopedSysctl;
using net::SettingsJournal;
const std::string setting = "/proc/sys/net/ipv4/conf/lo/route_localnet";

class Sysctl : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_NAMESPACES();
    ns_ = std::make_unique<Namespace>();
    std::string pattern = std::filesystem::temp_directory_path() / "skep-sysctl-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    journal_ = SettingsJournal(directory_ + "/settings");
  }
  void TearDown() override {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  std::string now() { return ns_->must("cat " + setting).substr(0, 1); }
  /// A process changes the setting and is killed.
  void change_and_die() {
    ns_->inside([&] {
      const pid_t child = ::fork();
      if (child == 0) {
        const auto changed = ScopedSysctl::set(setting, "1", journal_);
        ::_exit(changed ? 0 : 1);  // no destructor runs
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      EXPECT_EQ(status, 0);
    });
  }
  std::unique_ptr<Namespace> ns_;
  std::string directory_;
  SettingsJournal journal_;
};

TEST_F(Sysctl, IsPutBackInGoodOrder) {
  ns_->inside([&] {
    auto changed = ScopedSysctl::set(setting, "1", journal_);
    ASSERT_TRUE(changed) << changed.error().what;
    EXPECT_EQ(now(), "1");
    EXPECT_EQ(journal_.left_behind().size(), 1u);
  });
  EXPECT_EQ(now(), "0");
  EXPECT_TRUE(journal_.left_behind().empty());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/settings"));
}

TEST_F(Sysctl, IsPutBackByTheNextProcess) {
  change_and_die();
  EXPECT_EQ(now(), "1");
  std::vector<std::string> said;
  ns_->inside([&] { said = journal_.restore(); });
  EXPECT_EQ(said, std::vector<std::string>{setting + " is 0 again"});
  EXPECT_EQ(now(), "0");
  ns_->inside([&] { said = journal_.restore(); });
  EXPECT_TRUE(said.empty());
}

TEST_F(Sysctl, WhatSomebodyElseSetStays) {
  change_and_die();
  ns_->must("echo 2 > /proc/sys/net/ipv4/conf/lo/arp_ignore; echo 0 > " + setting);
  std::vector<std::string> said;
  ns_->inside([&] { said = journal_.restore(); });
  EXPECT_TRUE(said.empty());
  EXPECT_TRUE(journal_.left_behind().empty());
}

// A daemon in another namespace cannot undo it; attaching there again and detaching does.
TEST_F(Sysctl, IsPutBackByWhoeverNeedsItNext) {
  change_and_die();
  EXPECT_TRUE(journal_.restore().empty()) << "this thread is in another namespace";
  EXPECT_EQ(journal_.left_behind().size(), 1u);
  ns_->inside([&] { EXPECT_TRUE(ScopedSysctl::set(setting, "1", journal_)); });
  EXPECT_EQ(now(), "0");
  EXPECT_TRUE(journal_.left_behind().empty());
}

}  // namespace
}  // namespace skep::testing
