// Pins are plain files: whatever removes the last name of one drops what it held.
#include "runtime/pins.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace skep::runtime {
namespace {

namespace fs = std::filesystem;

class Pins : public testing::Test {
 protected:
  void SetUp() override {
    std::string base = fs::temp_directory_path() / "skep-pins-XXXXXX";
    ASSERT_NE(::mkdtemp(base.data()), nullptr);
    base_ = base;
    open();
  }
  void TearDown() override {
    pins_.reset();
    fs::remove_all(base_);
  }
  void open() {
    auto opened = PinDirectory::open(base_ + "/fs");
    ASSERT_TRUE(opened) << opened.error().what;
    pins_ = std::move(*opened);
  }
  Pinned object(u32 id = 7) {
    auto reference = std::make_shared<int>(0);
    watch_ = reference;
    return {ObjectKind::prog, id, std::move(reference)};
  }
  [[nodiscard]] bool held() const { return !watch_.expired(); }
  [[nodiscard]] std::string path(const std::string& name) const { return base_ + "/fs/" + name; }

  std::string base_;
  std::unique_ptr<PinDirectory> pins_;
  std::weak_ptr<int> watch_;
};

TEST_F(Pins, BothNamesOfTheDirectoryMeanTheSameFile) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/hello", object(3)));
  EXPECT_TRUE(fs::is_regular_file(path("hello")));
  EXPECT_EQ(pins_->get("/sys/fs/bpf/hello")->id, 3u);
  EXPECT_EQ(pins_->get(path("hello"))->id, 3u);
  EXPECT_EQ(pins_->get(path("hello"))->kind, ObjectKind::prog);
}

TEST_F(Pins, RemovingTheFileDropsTheReference) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/hello", object()));
  pins_->sweep();
  EXPECT_TRUE(held());
  fs::remove(path("hello"));
  EXPECT_TRUE(held());
  pins_->sweep();
  EXPECT_FALSE(held());
  EXPECT_EQ(pins_->get("/sys/fs/bpf/hello").error().code, ENOENT);
}

TEST_F(Pins, MovingKeepsAndRemovingTheTreeDrops) {
  fs::create_directories(path("a/b"));
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/a/b/x", object()));
  fs::rename(path("a/b/x"), path("a/y"));
  fs::rename(path("a"), path("c"));
  pins_->sweep();
  EXPECT_TRUE(held());
  EXPECT_TRUE(pins_->get("/sys/fs/bpf/c/y"));
  fs::remove_all(path("c"));
  pins_->sweep();
  EXPECT_FALSE(held());
}

TEST_F(Pins, TheLastHardLinkCounts) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/x", object()));
  fs::create_hard_link(path("x"), path("y"));
  fs::remove(path("x"));
  pins_->sweep();
  EXPECT_TRUE(held());
  EXPECT_TRUE(pins_->get("/sys/fs/bpf/y"));
  fs::remove(path("y"));
  pins_->sweep();
  EXPECT_FALSE(held());
}

TEST_F(Pins, RenamingOverAPinDropsIt) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/x", object()));
  std::ofstream(path("other")) << "text";
  fs::rename(path("other"), path("x"));
  pins_->sweep();
  EXPECT_FALSE(held());
}

TEST_F(Pins, CopiesAndForgeriesAreNoPins) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/x", object()));
  fs::copy_file(path("x"), path("copy"));
  EXPECT_EQ(pins_->get("/sys/fs/bpf/copy").error().code, EACCES);
  EXPECT_EQ(pins_->get("/sys/fs/bpf").error().code, EACCES);
  EXPECT_EQ(pins_->get("/etc/hostname").error().code, EACCES);
  EXPECT_EQ(pins_->get("/etc/no such file").error().code, ENOENT);
  fs::create_symlink(path("x"), path("link"));
  EXPECT_EQ(pins_->get("/sys/fs/bpf/link").error().code, EACCES);
}

TEST_F(Pins, RefusesWhatBpffsRefusesAndLeavesNothing) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/x", object()));
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/x", object()).error().code, EEXIST);
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/nodir/x", object()).error().code, ENOENT);
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/x/y", object()).error().code, ENOTDIR);
  EXPECT_EQ(pins_->pin("/tmp/x", object()).error().code, EPERM);
  EXPECT_EQ(pins_->pin("relative", object()).error().code, EPERM);
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/../escape", object()).error().code, EPERM);
  EXPECT_EQ(pins_->pin("/sys/fs/bpfx", object()).error().code, EPERM);
  EXPECT_EQ(pins_->pin("/sys/fs/bpf", object()).error().code, EEXIST);
  fs::create_symlink("/tmp", path("out"));
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/out/x", object()).error().code, ENOTDIR);
  EXPECT_EQ(pins_->pin("/sys/fs/bpf/" + std::string(300, 'n'), object()).error().code, ENAMETOOLONG);
  EXPECT_EQ(pins_->size(), 1u);
}

TEST_F(Pins, AStartRemovesTheLeftoversOfADeadInstanceOnly) {
  fs::create_directory(path("d"));
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/d/x", object()));
  std::string text;
  std::getline(std::ifstream(path("d/x")), text);
  EXPECT_TRUE(text.starts_with("skep pin prog id 7 instance ")) << text;
  EXPECT_EQ(PinDirectory::open(base_ + "/fs").error().code, EBUSY);
  pins_.reset();
  EXPECT_FALSE(fs::exists(path("d/x"))) << "a stop in good order removes its pins";
  std::ofstream(path("d/x")) << text << "\n";
  std::ofstream(path("mine")) << "notes";
  open();
  EXPECT_FALSE(fs::exists(path("d/x")));
  EXPECT_TRUE(fs::exists(path("mine")));
}

TEST_F(Pins, RemovalWakesTheOwner) {
  ASSERT_TRUE(pins_->pin("/sys/fs/bpf/x", object()));
  pins_->sweep();
  pollfd wake{pins_->wake_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wake, 1, 0), 0);
  fs::remove(path("x"));
  EXPECT_EQ(::poll(&wake, 1, 1000), 1);
}

TEST_F(Pins, AFullDiskIsAnErrorAndLeavesNoFile) {
  std::string skipped;
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) < 0) {
      skipped = "no mount namespace of our own";
      return;
    }
    ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    fs::create_directory(base_ + "/small");
    if (::mount("t", (base_ + "/small").c_str(), "tmpfs", 0, "size=4096,mode=0700") < 0) {
      skipped = "no tmpfs of our own";
      return;
    }
    {
      auto pins = PinDirectory::open(base_ + "/small/fs");
      ASSERT_TRUE(pins) << pins.error().what;
      std::ofstream(base_ + "/small/filler") << std::string(8192, 'x');
      EXPECT_EQ((*pins)->pin("/sys/fs/bpf/x", object()).error().code, ENOSPC);
      EXPECT_FALSE(fs::exists(base_ + "/small/fs/x"));
      EXPECT_FALSE(held());
    }
    ::umount((base_ + "/small").c_str());
  }).join();
  if (!skipped.empty()) GTEST_SKIP() << skipped;
}

}  // namespace
}  // namespace skep::runtime
