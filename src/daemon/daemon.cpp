// See daemon.hpp.
#include "daemon/daemon.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/daemon_directory.hpp"

namespace skep::daemon {

namespace {

constexpr char kReady = '+';

/// SIGTERM and SIGINT as a descriptor; blocked for this thread and all that it starts.
Result<UniqueFd> stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): cannot fail
  ::signal(SIGHUP, SIG_IGN);   // NOLINT(cert-err33-c)
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

/// Each object that a client holds takes a descriptor: as many as this process may have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// What the forked process does with what it inherited: nothing of the starter's stays open, so that whoever
/// waits for the starter's output does not wait for the daemon.
void leave_the_starter(const std::string& directory, int keep) {
  ::setsid();
  ::umask(077);
  if (::chdir("/") < 0) return;
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 0);
  const int log = ::open((directory + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  ::dup2(log >= 0 ? log : null, 1);
  ::dup2(log >= 0 ? log : null, 2);
  ::dup2(keep, 3);
  ::close_range(4, ~0u, 0);
  ::fcntl(3, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NAME, "skep");
}

[[noreturn]] void be_the_daemon(const std::string& directory, const KernelFactory& factory, int readiness) {
  leave_the_starter(directory, readiness);
  UniqueFd pipe(3);
  const auto result = serve(directory, factory, [&] {
    (void)!::write(pipe.get(), &kReady, 1);
    pipe.reset();
  });
  if (!result) {
    const std::string text = result.error().what + "\n";
    (void)!::write(pipe ? pipe.get() : 2, text.data(), text.size());
  }
  ::_exit(result ? 0 : 1);
}

Result<UniqueFd> lock_starting(const std::string& directory) {
  const std::string path = directory + "/lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail_errno(path);
  while (::flock(lock.get(), LOCK_EX) < 0)
    if (errno != EINTR) return fail_errno(path);
  return lock;
}

}  // namespace

Result<void> serve(const std::string& directory, const KernelFactory& factory,
                   const std::function<void()>& ready) {
  TRY(client::ensure_daemon_directory(directory));
  const UniqueFd stop = TRY(stop_signals());
  raise_descriptor_limit();
  Served served = TRY(factory(directory));
  const std::string socket = client::socket_path(directory);
  UniqueFd listener = TRY(listen_at(socket));
  served.hooks.about = fmt::format("directory: {}\n", directory) + served.hooks.about;
  const auto server = TRY(Server::create(*served.kernel, std::move(listener), std::move(served.hooks)));
  ready();
  const auto result = server->run(stop.get());
  // From here on no client can come; then the objects, and with the kernel its interfaces, pins and pipe.
  ::unlink(socket.c_str());
  server->drop_objects();
  served.kernel.reset();
  return result;
}

Result<bool> start_in_background(const std::string& directory, const KernelFactory& factory) {
  TRY(client::ensure_daemon_directory(directory));
  const UniqueFd lock = TRY(lock_starting(directory));
  if (const auto running = client::connect_daemon(directory)) return false;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return fail_errno("pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) be_the_daemon(directory, factory, write_end.get());
  write_end.reset();
  std::string text;
  std::array<char, 1024> chunk{};
  for (;;) {
    const ssize_t got = ::read(read_end.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.front() == kReady) return true;
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) text = fmt::format("the daemon ended while starting; see {}/log", directory);
  return fail(ECONNREFUSED, std::move(text));
}

}  // namespace skep::daemon
