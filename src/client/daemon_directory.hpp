// Where a user's daemon lives, and how to reach it: its directory, its socket, starting it on first use.
#pragma once
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace skep::client {

/// The daemon's directory: $SKEP_DIR; for root /run/skep (if /run is its own to write to);
/// $XDG_RUNTIME_DIR/skep; /tmp/skep-UID. The path alone; nothing is made or checked.
[[nodiscard]] std::string daemon_directory();

[[nodiscard]] inline std::string socket_path(const std::string& directory) { return directory + "/socket"; }
[[nodiscard]] inline std::string pins_path(const std::string& directory) { return directory + "/fs"; }
[[nodiscard]] inline std::string trace_path(const std::string& directory) {
  return directory + "/trace_pipe";
}

/// Makes the directory (mode 0700) where missing, and refuses (EPERM) one that belongs to another user or
/// that others may write to: whoever owns it could pose as the daemon.
Result<void> ensure_daemon_directory(const std::string& directory);

/// Connects to the daemon of `directory`. ENOENT or ECONNREFUSED: none is running; EPERM: it is another
/// user's.
Result<UniqueFd> connect_daemon(const std::string& directory);

/// Runs `command` (which starts a daemon in the background and returns when it is ready) and connects. The
/// error is what the command wrote to stderr.
Result<UniqueFd> connect_or_start(const std::string& directory, const std::vector<std::string>& command);

}  // namespace skep::client
