// `daemon start|stop|status`: the process that the other commands start by themselves on first use.
#include "cli/tables.hpp"
#include "client/daemon_directory.hpp"
#include "client/remote_kernel.hpp"
#include "daemon/daemon.hpp"
#include "daemon/user_kernel.hpp"

namespace skep::cli {

namespace {

std::unexpected<Failure> failure_of(const Error& error) { return refuse(error.what); }

/// The running daemon, which this does not start; null if there is none.
Result<std::unique_ptr<client::RemoteKernel>> find_daemon() {
  auto kernel = client::RemoteKernel::connect({client::daemon_directory(), {}});
  if (!kernel && (kernel.error().code == ENOENT || kernel.error().code == ECONNREFUSED)) return nullptr;
  return kernel;
}

Outcome<void> start(Cli& cli, Args args) {
  auto from_environment = daemon::profile_from_environment();
  if (!from_environment) return failure_of(from_environment.error());
  daemon::Profile profile = *from_environment;
  bool foreground = false;
  while (!args.empty()) {
    if (args.take_if("foreground")) {
      foreground = true;
    } else if (args.take_if("nojit")) {
      profile.no_jit = true;
    } else if (args.take_if("harden")) {
      profile.harden = true;
    } else if (args.take_if("perfmap")) {
      profile.perf_map = true;
    } else if (args.take_if("tag")) {
      TRY(args.require(1));
      const std::string hash = TRY(args.take());
      if (hash != "sha1" && hash != "sha256") return refuse(fmt::format("'{}' is not sha256 or sha1", hash));
      profile.sha1_tags = hash == "sha1";
    } else {
      return refuse(fmt::format("expected 'foreground', 'nojit', 'harden', 'perfmap' or 'tag', got: '{}'?",
                                args.peek()));
    }
  }
  const std::string directory = client::daemon_directory();
  cli.nothing_to_show();
  if (foreground) {
    const auto served = daemon::serve(directory, daemon::user_kernel(profile), [] {});
    if (!served) return failure_of(served.error());
    return {};
  }
  const auto started = daemon::start_in_background(directory, daemon::user_kernel(profile));
  if (!started) return failure_of(started.error());
  return {};
}

Outcome<void> stop(Cli& cli, Args args) {
  TRY(args.finished());
  const auto running = find_daemon();
  if (!running) return failure_of(running.error());
  if (*running == nullptr)
    return refuse(fmt::format("no daemon is running in {}", client::daemon_directory()));
  if (const auto stopped = (*running)->stop(); !stopped) return failure_of(stopped.error());
  cli.nothing_to_show();
  return {};
}

/// That there is none is an answer as well.
Outcome<void> tell_of_none(Cli& cli, const std::string& directory) {
  if (!cli.json_output()) {
    cli.print("no daemon is running in {}\n", directory);
    return {};
  }
  cli.json().begin_object();
  cli.json().field("directory", directory);
  cli.json().field("running", false);
  cli.json().end_object();
  return {};
}

Outcome<void> status(Cli& cli, Args args) {
  TRY(args.finished());
  const auto running = find_daemon();
  if (!running) return failure_of(running.error());
  if (*running == nullptr) return tell_of_none(cli, client::daemon_directory());
  client::RemoteKernel* kernel = running->get();
  const auto text = kernel->status();
  if (!text) return failure_of(text.error());
  if (!cli.json_output()) {
    cli.out().write(*text);
    return {};
  }
  cli.json().begin_object();
  for (std::string_view rest = *text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (const std::size_t colon = line.find(": "); colon != line.npos)
      cli.json().field(line.substr(0, colon), line.substr(colon + 2));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  cli.json().end_object();
  return {};
}

Outcome<void> help(Cli& cli, Args) { return show_usage(cli, kDaemon); }

constexpr std::array verbs{
    Verb{"status", status, "{ status | stop }"},
    Verb{"start", start, "start [foreground] [nojit] [harden] [perfmap] [tag { sha256 | sha1 }]"},
    Verb{"stop", stop, ""},
    Verb{"help", help, "help"},
};

}  // namespace

const Noun kDaemon{.name = "daemon",
                   .summary = "the process that holds this user's programs and maps",
                   .verbs = verbs,
                   .ours = true};

}  // namespace skep::cli
