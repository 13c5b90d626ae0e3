// See daemon_directory.hpp.
#include "client/daemon_directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace skep::client {

namespace {

std::string environment(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it while we run
  return value == nullptr ? "" : value;
}

/// Runs a command to its end; what it wrote to stderr. Its stdin and stdout are /dev/null.
Result<std::pair<int, std::string>> run(const std::vector<std::string>& command,
                                        const std::string& directory) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return fail_errno("pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  std::vector<char*> argv;
  for (const std::string& word : command)
    argv.push_back(const_cast<char*>(word.c_str()));  // NOLINT: exec's type
  argv.push_back(nullptr);
  const std::string variable = "SKEP_DIR=" + directory;
  std::vector<char*> env;
  for (char** each = ::environ; *each != nullptr; ++each)
    if (!std::string_view(*each).starts_with("SKEP_DIR=")) env.push_back(*each);
  env.push_back(const_cast<char*>(variable.c_str()));  // NOLINT: exec's type
  env.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(error, fmt::format("{}: {}", command[0], errno_text(error)));
  write_end.reset();
  std::string text;
  std::array<char, 1024> chunk{};
  for (ssize_t got = 0; (got = ::read(read_end.get(), chunk.data(), chunk.size())) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return std::pair(status, std::move(text));
}

}  // namespace

std::string daemon_directory() {
  if (auto chosen = environment("SKEP_DIR"); !chosen.empty()) return chosen;
  if (::geteuid() == 0 && ::access("/run", W_OK) == 0) return "/run/skep";
  if (auto runtime = environment("XDG_RUNTIME_DIR"); !runtime.empty()) return runtime + "/skep";
  return fmt::format("/tmp/skep-{}", ::geteuid());
}

Result<void> ensure_daemon_directory(const std::string& directory) {
  if (::mkdir(directory.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno(directory);
  struct stat info{};
  if (::lstat(directory.c_str(), &info) < 0) return fail_errno(directory);
  if (!S_ISDIR(info.st_mode)) return fail(ENOTDIR, fmt::format("{}: not a directory", directory));
  if (info.st_uid != ::geteuid()) return fail(EPERM, fmt::format("{}: belongs to another user", directory));
  if ((info.st_mode & 022) != 0)
    return fail(EPERM, fmt::format("{}: other users may write to it", directory));
  return {};
}

Result<UniqueFd> connect_daemon(const std::string& directory) {
  const std::string path = socket_path(directory);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ENAMETOOLONG, fmt::format("{}: too long a path", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("a Unix socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno == EACCES) return fail(EPERM, fmt::format("{}: the daemon of another user", path));
    return fail_errno(path);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return fail_errno(path);
  if (peer.uid != ::geteuid()) return fail(EPERM, fmt::format("{}: the daemon of another user", path));
  return fd;
}

Result<UniqueFd> connect_or_start(const std::string& directory, const std::vector<std::string>& command) {
  auto fd = connect_daemon(directory);
  if (fd || command.empty() || (fd.error().code != ENOENT && fd.error().code != ECONNREFUSED)) return fd;
  const auto [status, text] = TRY(run(command, directory));
  if (status != 0) {
    constexpr std::string_view prefix = "Error: ";  // whoever reports this puts it there again
    if (text.empty())
      return fail(ECONNREFUSED, fmt::format("the daemon does not start (wait status {})", status));
    return fail(ECONNREFUSED, text.starts_with(prefix) ? text.substr(prefix.size()) : text);
  }
  return connect_daemon(directory);
}

}  // namespace skep::client
