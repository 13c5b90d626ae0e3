// The definitions of testbed.hpp, for the one file of each test program that includes them.
#pragma once
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "net/testbed.hpp"

namespace skep::testing {
namespace {

void write_text(const char* path, const std::string& text) { std::ofstream(path) << text; }

/// Once, while the program has one thread: root's rights, in a user namespace if need be.
std::string prepare() {
  if (::geteuid() != 0) {
    const auto uid = ::geteuid();
    const auto gid = ::getegid();
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
      return "needs root or user namespaces: unshare: " + errno_text(errno);
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    write_text("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  std::string why;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) why = "cannot make a network namespace: " + errno_text(errno);
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) why = "/dev/net/tun: " + errno_text(errno);
  }).join();
  for (const char* tool : {"ip", "ping"})
    if (std::system(("command -v " + std::string(tool) + " >/dev/null").c_str()) != 0)
      why = std::string(tool) + " is not installed";
  return why;
}

class Preparation : public ::testing::Environment {
 public:
  void SetUp() override { (void)why_no_namespaces(); }
};
[[maybe_unused]] auto* const preparation = ::testing::AddGlobalTestEnvironment(new Preparation);

}  // namespace

const std::string& why_no_namespaces() {
  static const std::string why = prepare();
  return why;
}

Namespace::Namespace() {
  std::thread([this] {
    if (::unshare(CLONE_NEWNET) == 0) fd_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (fd_) must("ip link set lo up");
}

void Namespace::inside(const std::function<void()>& what) const {
  std::thread([&] {
    ASSERT_EQ(::setns(fd_.get(), CLONE_NEWNET), 0) << errno_text(errno);
    what();
  }).join();
}

Output Namespace::run(const std::string& command) const {
  Output output;
  inside([&] {
    FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
    ASSERT_NE(pipe, nullptr);
    std::array<char, 4096> chunk{};
    while (const auto got = std::fread(chunk.data(), 1, chunk.size(), pipe))
      output.text.append(chunk.data(), got);
    const int status = ::pclose(pipe);
    output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  });
  return output;
}

std::string Namespace::must(const std::string& command) const {
  const Output output = run(command);
  EXPECT_EQ(output.status, 0) << command << ":\n" << output.text;
  return output.text;
}

u32 Namespace::ifindex(const std::string& name) const {
  u32 index = 0;
  inside([&] { index = ::if_nametoindex(name.c_str()); });
  return index;
}

u64 Namespace::counter(const std::string& group, const std::string& name) const {
  u64 value = 0;
  inside([&] {
    std::string line, word;
    if (group == "Icmp6" || group == "Udp6" || group == "Ip6") {
      std::ifstream file("/proc/thread-self/net/snmp6");
      while (file >> word >> line)
        if (word == name) value = std::stoull(line);
      return;
    }
    std::ifstream file("/proc/thread-self/net/snmp");
    std::string names, values;
    while (std::getline(file, names) && std::getline(file, values)) {
      if (!names.starts_with(group + ":")) continue;
      std::istringstream n(names), v(values);
      std::string figure;
      while (n >> word && v >> figure)
        if (word == name) value = std::stoull(figure);
    }
  });
  return value;
}

int Namespace::start(const std::string& command) const {
  int pid = -1;
  inside([&] {
    pid = ::fork();
    if (pid != 0) return;
    ::execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
    ::_exit(127);
  });
  return pid;
}

void finish(int pid, int signal) {
  if (signal != 0) ::kill(pid, signal);
  int status = 0;
  ::waitpid(pid, &status, 0);
}

Testbed::Testbed() {
  const auto at = [](const Namespace& ns) {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ns.fd());
  };
  a.must("ip link add va type veth peer name vb netns " + at(b));
  b.must("ip link add vb2 type veth peer name vc netns " + at(c));
  a.must("ip addr add 10.9.0.1/24 dev va && ip addr add fd09::1/64 dev va nodad && ip link set va up");
  b.must(
      "ip addr add 10.9.0.2/24 dev vb && ip addr add fd09::2/64 dev vb nodad && ip link set vb up && "
      "ip addr add 10.9.1.2/24 dev vb2 && ip link set vb2 up");
  c.must("ip addr add 10.9.1.1/24 dev vc && ip link set vc up");
  EXPECT_TRUE(eventually([&] { return ping(a, "10.9.0.2", 1) == 1; }));
  EXPECT_TRUE(eventually([&] { return ping(a, "fd09::2", 1) == 1; }));
}

int received(const std::string& text) {
  const auto at = text.find(" received");
  if (at == std::string::npos) return -1;
  const auto from = text.rfind(' ', at - 1);
  return std::stoi(text.substr(from + 1));
}

int ping(const Namespace& from, const std::string& address, int count, const std::string& options) {
  return received(
      from.run("ping -n -c " + std::to_string(count) + " -i 0.02 -W 1 " + options + " " + address).text);
}

bool eventually(const std::function<bool()>& what, int ms) {
  for (int waited = 0;; waited += 20) {
    if (what()) return true;
    if (waited >= ms) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace skep::testing
