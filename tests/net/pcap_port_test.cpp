// Capture files: what is kept of a packet, and what is said of a file that is none.
#include "net/pcap_port.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "net/rig.hpp"

namespace skep::testing {
namespace {

using net::Disposition;
using net::Packet;
using net::PcapPort;

class PcapFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = ::testing::TempDir() + "/skep_pcap_" + std::to_string(::getpid()) + "_";
  }
  void TearDown() override {
    for (const auto& path : made) ::unlink(path.c_str());
  }
  std::string path(const std::string& name) {
    made.push_back(directory + name);
    return made.back();
  }
  std::string file(const std::string& name, const std::string& content) {
    const std::string where = path(name);
    std::ofstream(where, std::ios::binary) << content;
    return where;
  }
  static std::string words(std::initializer_list<u32> values) {
    std::string text;
    for (const u32 value : values) text.append(reinterpret_cast<const char*>(&value), 4);
    return text;
  }
  /// A little-endian pcap with nanoseconds and one packet of `caplen` of `len` bytes.
  static std::string capture(u32 link_type, u32 caplen = 60, u32 len = 60) {
    return words({0xa1b23c4d, 0x00040002, 0, 0, 262144, link_type, 1700000000, 123456789, caplen, len}) +
           std::string(caplen, 'x');
  }
  std::string why(const std::string& in, const std::string& out = "") {
    const auto port = PcapPort::open(in, out, 1);
    return port ? "opened" : port.error().what;
  }
  std::string directory;
  std::vector<std::string> made;
  std::array<Packet, limits::packet_burst> burst{};
};

TEST_F(PcapFiles, TimesAndLengthsAreKept) {
  const std::string in = file("in", capture(1, 60, 1500)), out = path("out");
  {
    auto port = PcapPort::open(in, out, 1);
    ASSERT_TRUE(port) << port.error().what;
    ASSERT_EQ((*port)->rx_burst(burst), 1U);
    EXPECT_EQ(burst[0].timestamp_ns, 1700000000123456789U);
    burst[0].data_end += 4;
    burst[0].disposition = Disposition::pass;
    (*port)->complete({burst.data(), 1});
    EXPECT_EQ((*port)->rx_burst(burst), 0U);
    EXPECT_TRUE((*port)->finish());
  }
  std::ifstream written(out, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(written)), {});
  ASSERT_EQ(content.size(), 24U + 16 + 64);
  EXPECT_EQ(content.substr(24, 16), words({1700000000, 123456789, 64, 1504}))
      << "1440 bytes were never captured";
}

TEST_F(PcapFiles, DroppedAndRedirectedPacketsAreNotWritten) {
  for (const auto disposition : {Disposition::drop, Disposition::redirect}) {
    const std::string in = file("in", capture(1)), out = path("out");
    auto port = PcapPort::open(in, out, 1);
    ASSERT_TRUE(port);
    ASSERT_EQ((*port)->rx_burst(burst), 1U);
    burst[0].disposition = disposition;
    (*port)->complete({burst.data(), 1});
    EXPECT_TRUE((*port)->finish());
    struct stat status{};
    ASSERT_EQ(::stat(out.c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 24);
  }
}

TEST_F(PcapFiles, PcapngIsRead) {
  // Section header, one Ethernet interface, one enhanced packet block.
  std::string ng = words({0x0a0d0d0a, 28, 0x1a2b3c4d, 0x00000001, 0xffffffff, 0xffffffff, 28});
  ng += words({1, 20, 1, 262144, 20});
  ng += words({6, 92, 0, 0x0005f5e1, 0x01000000, 60, 60}) + std::string(60, 'y') + words({92});
  auto port = PcapPort::open(file("ng", ng), "", 1);
  ASSERT_TRUE(port) << port.error().what;
  ASSERT_EQ((*port)->rx_burst(burst), 1U);
  EXPECT_EQ(burst[0].size(), 60U);
  EXPECT_EQ(burst[0].data[0], std::byte{'y'});
}

TEST_F(PcapFiles, BadFilesAreNamedInOneLine) {
  EXPECT_EQ(why(directory + "missing"), directory + "missing: No such file or directory");
  EXPECT_EQ(why("/"), "/: is a directory");
  EXPECT_THAT(why(file("text", "this is no capture, but it is long enough")),
              ::testing::HasSubstr("unknown file format"));
  EXPECT_THAT(why(file("empty", "")), ::testing::HasSubstr("truncated"));
  const std::string raw = file("raw", capture(101));
  EXPECT_EQ(why(raw), raw + ": packets of link type RAW, not Ethernet");
  const std::string good = file("good", capture(1));
  EXPECT_THAT(why(good, directory + "missing/out.pcap"), ::testing::HasSubstr("No such file or directory"));
  EXPECT_EQ(why(good, good), good + ": output would overwrite the input");
  for (const auto& path : {"text", "empty", "raw"})
    EXPECT_THAT(why(directory + path), ::testing::Not(::testing::HasSubstr("\n")));
}

TEST_F(PcapFiles, ATruncatedFileGivesWhatItHasAndThenAnError) {
  std::string two = capture(1) + words({1700000001, 0, 60, 60}) + "short";
  auto port = PcapPort::open(file("cut", two), "", 1);
  ASSERT_TRUE(port);
  EXPECT_EQ((*port)->rx_burst(burst), 1U);
  EXPECT_EQ((*port)->rx_burst(burst), 0U);
  EXPECT_EQ((*port)->check(), net::PortState::ended);
  const auto end = (*port)->finish();
  ASSERT_FALSE(end);
  EXPECT_THAT(end.error().what, ::testing::HasSubstr("truncated"));
}

TEST_F(PcapFiles, AFullDiskIsReported) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  auto port = PcapPort::open(file("in", capture(1)), "/dev/full", 1);
  if (!port) return;  // libpcap already could not write the header
  ASSERT_EQ((*port)->rx_burst(burst), 1U);
  burst[0].disposition = Disposition::pass;
  (*port)->complete({burst.data(), 1});
  const auto end = (*port)->finish();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ENOSPC);
}

TEST_F(PcapFiles, PacketsWithoutAnEthernetHeaderAreCountedAsLost) {
  auto port = PcapPort::open(file("short", capture(1, 10, 10)), "", 1);
  ASSERT_TRUE(port);
  EXPECT_EQ((*port)->rx_burst(burst), 0U);
  EXPECT_EQ((*port)->stats().rx_dropped, 1U);
}

}  // namespace
}  // namespace skep::testing
