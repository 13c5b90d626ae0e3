// The daemon as a process: one per directory (client/daemon_directory.hpp), started in the background, ended
// by a signal or a client's request, leaving nothing behind but its directory.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "daemon/server.hpp"

namespace skep::daemon {

/// The Kernel that a daemon serves, and what its loop must know of it.
struct Served {
  std::unique_ptr<Kernel> kernel;
  ServerHooks hooks;
};
/// Makes it within the daemon's process; the argument is the daemon's directory, which exists.
using KernelFactory = std::function<Result<Served>(const std::string& directory)>;

/// Serves in the calling process until SIGTERM, SIGINT or a client's stop. `ready` is called once clients can
/// connect. The caller should be single-threaded: signals are blocked for the kernel's threads here.
Result<void> serve(const std::string& directory, const KernelFactory& factory,
                   const std::function<void()>& ready);

/// Starts a daemon in the background and returns when it is ready: true, or false if there was one already.
/// Several at once start one. The caller must be single-threaded (it forks). What the daemon prints goes to
/// DIRECTORY/log.
Result<bool> start_in_background(const std::string& directory, const KernelFactory& factory);

}  // namespace skep::daemon
