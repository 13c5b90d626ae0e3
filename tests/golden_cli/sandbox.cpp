// Namespaces, interfaces and files for the replay.
#include "golden_cli/sandbox.hpp"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace skep::test {

namespace fs = std::filesystem;

namespace {

void write_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

/// The length of the directory's name is that of the one where the objects of the recording were compiled: it
/// shows in the size of their BTF.
constexpr const char* kDirectoryPattern = "/tmp/skep-recorded-XXXXXX";

/// SKEP_GOLDEN_KERNEL=linux replays against the machine's own kernel: what the command line makes of the real
/// one.
std::string kernel_option() {
  const char* kernel = std::getenv("SKEP_GOLDEN_KERNEL");
  return kernel == nullptr ? std::string() : std::string(" --kernel ") + kernel;
}

}  // namespace

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Sandbox::Sandbox(std::string& why_not) {
  why_not = enter_namespaces();
  if (why_not.empty()) why_not = fill_directory();
}

Sandbox::~Sandbox() {
  if (directory_.empty()) return;
  (void)run("skep daemon stop");
  (void)umount2("/sys/fs/bpf", MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::string Sandbox::enter_namespaces() {
  if (std::string(SKEP_BPF_CLANG).ends_with("NOTFOUND"))
    return "there is no clang to compile the objects with";
  if (std::system("ip -V >/dev/null 2>&1") != 0) return "there is no ip(8)";
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  const int user = uid == 0 ? 0 : CLONE_NEWUSER;
  if (unshare(CLONE_NEWNET | CLONE_NEWNS | user) != 0) return std::string("unshare: ") + std::strerror(errno);
  if (user != 0) {
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    write_text("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return std::string("mount --make-rprivate /: ") + std::strerror(errno);
  for (const char* which : {"all", "default"})  // no frames but those the test sends
    write_text(std::string("/proc/sys/net/ipv6/conf/") + which + "/disable_ipv6", "1");
  if (std::system("ip link set lo up && ip link add eth0 type veth peer name peer0 && ip link set eth0 up && "
                  "ip link set peer0 up") != 0)
    return "no veth pair can be made";
  return {};
}

std::string Sandbox::fill_directory() {
  std::string pattern = kDirectoryPattern;
  if (mkdtemp(pattern.data()) == nullptr) return std::string("mkdtemp: ") + std::strerror(errno);
  directory_ = pattern;
  fs::create_directories(directory_ + "/bin");
  fs::create_directories(directory_ + "/run/fs");
  fs::permissions(directory_ + "/run/fs", fs::perms::owner_all);
  fs::create_directories("/tmp/nobpffs");
  if (kernel_option().empty()) {
    fs::create_symlink(SKEP_PROGRAM, directory_ + "/bin/bpftool");
    if (mount((directory_ + "/run/fs").c_str(), "/sys/fs/bpf", nullptr, MS_BIND, nullptr) != 0)
      return std::string("bind mount over /sys/fs/bpf: ") + std::strerror(errno);
  } else {
    write_text(directory_ + "/bin/bpftool",
               "#!/bin/bash\nexec -a bpftool " SKEP_PROGRAM + kernel_option() + " \"$@\"\n");
    fs::permissions(directory_ + "/bin/bpftool", fs::perms::owner_all);
    if (mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr) != 0)
      return std::string("mount bpffs: ") + std::strerror(errno);
  }
  fs::create_symlink(SKEP_PROGRAM, directory_ + "/bin/skep");
  // The recorded session turns the statistics of the kernel on; ours are turned on by a word.
  if (kernel_option().empty())
    write_text(directory_ + "/bin/sysctl",
               "#!/bin/sh\nexec skep stats \"$(test \"${2#*=}\" = 1 && echo on || echo off)\"\n");
  if (kernel_option().empty()) fs::permissions(directory_ + "/bin/sysctl", fs::perms::owner_all);
  std::string packet;
  for (int i = 0; i < 64; ++i) packet += static_cast<char>(i);
  write_text(directory_ + "/pkt.bin", packet);
  for (const auto& entry : fs::directory_iterator(SKEP_GOLDEN_DIR "/src")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".bpf.c")) continue;
    fs::copy_file(entry.path(), directory_ + "/" + name);
    const std::string object = name.substr(0, name.size() - 2) + ".o";
    const CommandResult made =
        run(std::string(SKEP_BPF_CLANG) + " -target bpf -g -O2 -I/usr/include/$(uname -m)-linux-gnu -c " +
            name + " -o " + object);
    if (made.status != 0) return "cannot compile " + name + ": " + made.err;
  }
  return {};
}

CommandResult Sandbox::run(const std::string& command) {
  write_text(directory_ + "/.command", command);
  const std::string script = "cd '" + directory_ + "' && export PATH='" + directory_ +
                             "/bin':\"$PATH\" SKEP_DIR='" + directory_ +
                             "/run' TZ=UTC LC_ALL=C && exec timeout 30 bash .command >.out 2>.err </dev/null";
  const int status = std::system(script.c_str());
  CommandResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_text(directory_ + "/.out");
  result.err = read_text(directory_ + "/.err");
  return result;
}

bool Sandbox::send_frames(int count) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex("peer0"));
  std::array<unsigned char, 64> frame{};
  frame.fill(0xff);
  frame[12] = 0x88;  // an EtherType for experiments
  frame[13] = 0xb5;
  bool sent = fd >= 0;
  for (int i = 0; sent && i < count; ++i)
    sent = sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) == 64;
  close(fd);
  return sent;
}

}  // namespace skep::test
