// `shell [COMMAND...]`: a shell, or a command, for which /sys/fs/bpf, trace_pipe and bpftool are skep's.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "cli/tables.hpp"
#include "client/daemon_directory.hpp"
#include "client/remote_kernel.hpp"
#include "client/shell.hpp"

namespace skep::cli {

namespace {

constexpr int kNotFound = 127;  // what shells give for a command that is not there

Outcome<std::string> own_path() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return refuse("the path of this program is not to be had (/proc/self/exe)");
  return std::string(path.data(), static_cast<std::size_t>(size));
}

}  // namespace

Outcome<void> run_shell(Cli& cli, Args args) {
  std::vector<std::string> command;
  while (!args.empty()) command.push_back(TRY(args.take()));
  if (command.empty()) {
    const char* shell = ::getenv("SHELL");  // NOLINT(concurrency-mt-unsafe): one thread
    command.emplace_back(shell == nullptr || *shell == '\0' ? "/bin/sh" : shell);
  }
  client::ShellPlan plan;
  {
    auto kernel = client::RemoteKernel::connect();
    if (!kernel) return refuse(kernel.error().what);
    auto pins = (*kernel)->pin_directory();
    if (!pins) return refuse(pins.error().what);
    plan.directory = (*kernel)->directory();
    plan.pins = std::move(*pins);
  }
  plan.trace_pipe = client::trace_path(plan.directory);
  plan.program = TRY(own_path());
  if (const auto entered = client::enter_shell_namespace(plan); !entered) return refuse(entered.error().what);
  cli.out().flush();
  cli.err().flush();
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::signal(SIGPIPE, SIG_DFL);  // main() ignores it; what comes now must not inherit that
  ::execvp(argv[0], argv.data());
  return refuse(fmt::format("{}: {}", command[0], errno_text(errno)), kNotFound);
}

}  // namespace skep::cli
