// trace_pipe: the kernel's line format, whole lines for every reader, writers that never wait.
#include "runtime/trace.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

namespace skep::runtime {
namespace {

/// Everything there is to read now, without waiting.
std::vector<std::string> drain(int fd) {
  std::vector<std::string> lines;
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  std::array<char, 8192> buffer{};
  for (ssize_t got = 0; (got = ::read(fd, buffer.data(), buffer.size())) > 0;)
    lines.emplace_back(buffer.data(), static_cast<std::size_t>(got));
  ::fcntl(fd, F_SETFL, flags);
  return lines;
}

/// All lines until none has come for a while: on a busy machine the ring's thread may get its turn late.
std::vector<std::string> everything(TraceRing& ring, int fd) {
  std::vector<std::string> all;
  for (int quiet = 0; quiet < 300;) {
    ring.flush();
    auto more = drain(fd);
    quiet = more.empty() ? quiet + 1 : 0;
    all.insert(all.end(), more.begin(), more.end());
    ::usleep(1000);
  }
  return all;
}

TEST(TraceLine, IsTheKernels) {
  // Captured from /sys/kernel/tracing/trace_pipe of Linux 6.18.
  EXPECT_EQ(trace_line("ping", 13345, 1, "..s2.", 1543'980'532'999u, "Hello World 0"),
            "            ping-13345   [001] ..s2.  1543.980532: bpf_trace_printk: Hello World 0");
  EXPECT_EQ(trace_line("bpftool", 13347, 1, "b..11", 1544'186'516'000u, "Hello World 3"),
            "         bpftool-13347   [001] b..11  1544.186516: bpf_trace_printk: Hello World 3");
  EXPECT_EQ(trace_line("kworker/u8:0", 12, 0, "..s2.", 1545'233'326'000u, "Hello World 6"),
            "    kworker/u8:0-12      [000] ..s2.  1545.233326: bpf_trace_printk: Hello World 6");
}

TEST(TraceRing, OneReadGivesOneLineInOrder) {
  auto ring = TraceRing::create();
  ASSERT_TRUE(ring) << ring.error().what;
  auto reader = (*ring)->open_reader();
  ASSERT_TRUE(reader) << reader.error().what;
  RunContext run;
  run.cpu = 3;
  for (int i = 0; i < 100; ++i) (*ring)->trace_printk("line " + std::to_string(i), run);
  const auto lines = everything(**ring, reader->get());
  ASSERT_EQ(lines.size(), 100u);
  const std::regex form(R"( *\S+-\d+ +\[003\] \.\.s2\. +\d+\.\d{6}: bpf_trace_printk: line (\d+)\n)");
  for (int i = 0; i < 100; ++i) {
    std::smatch match;
    ASSERT_TRUE(std::regex_match(lines[i], match, form)) << lines[i];
    EXPECT_EQ(std::stoi(match[1]), i);
  }
}

TEST(TraceRing, ATestRunCarriesTheClientsName) {
  auto ring = TraceRing::create();
  auto reader = (*ring)->open_reader();
  {
    const TraceRing::ActAs client("bpftool", 4711);
    const TraceRing::ActAs inner;
    (*ring)->trace_printk("as client", RunContext{});
  }
  {
    const TraceRing::ActAs self;
    (*ring)->trace_printk("as self", RunContext{});
  }
  const auto lines = everything(**ring, reader->get());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[0].starts_with("         bpftool-4711    [000] b..11 ")) << lines[0];
  EXPECT_NE(lines[1].find("-" + std::to_string(::gettid())), std::string::npos) << lines[1];
  EXPECT_NE(lines[1].find("b..11"), std::string::npos) << lines[1];
}

TEST(TraceRing, KeepsTheNewestAndSaysHowManyAreLost) {
  auto ring = TraceRing::create();
  auto reader = (*ring)->open_reader();
  constexpr int count = 20'000;
  for (int i = 0; i < count; ++i) (*ring)->trace_printk(std::to_string(i), RunContext{});
  ::usleep(600'000);  // the pump renews what nobody reads
  int delivered = 0, lost = 0, last = -1;
  for (const std::string& line : everything(**ring, reader->get())) {
    int more = 0;
    if (std::sscanf(line.c_str(), "CPU:%*d [LOST %d EVENTS]", &more) == 1) {
      lost += more;
      continue;
    }
    const int number = std::stoi(line.substr(line.rfind(' ') + 1));
    EXPECT_GT(number, last);
    last = number;
    ++delivered;
  }
  EXPECT_EQ(last, count - 1);
  EXPECT_EQ(delivered + lost, count);
  EXPECT_GE(delivered, 4096);
}

TEST(TraceRing, ManyWritersLoseNothingThatFits) {
  auto ring = TraceRing::create();
  auto reader = (*ring)->open_reader();
  std::vector<std::thread> writers;
  for (u32 w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      RunContext run;
      run.cpu = w;
      for (int i = 0; i < 500; ++i)
        (*ring)->trace_printk("w" + std::to_string(w) + " " + std::to_string(i), run);
    });
  }
  for (auto& writer : writers) writer.join();
  const auto lines = everything(**ring, reader->get());
  EXPECT_EQ(lines.size(), 2000u);
  for (const auto& line : lines)
    EXPECT_TRUE(line.ends_with('\n') && line.find('\n') == line.size() - 1) << line;
}

TEST(TraceRing, CutsLongTextAndReplacesAnOldFifo) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("skep-trace-" + std::to_string(::getpid()));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  {
    auto ring = TraceRing::create(path);
    ASSERT_TRUE(ring) << ring.error().what;
    auto reader = (*ring)->open_reader();
    ASSERT_TRUE(reader);
    (*ring)->trace_printk(std::string(5000, 'x'), RunContext{});
    const auto lines = everything(**ring, reader->get());
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(lines[0].ends_with(": " + std::string(1023, 'x') + "\n"));
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  const int file = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  ::close(file);
  EXPECT_EQ(TraceRing::create(path).error().code, EEXIST);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace skep::runtime
