// Running something within another network namespace.
#pragma once
#include <functional>

#include "base/result.hpp"

namespace skep::daemon {

/// Runs `body` on a thread that has joined the network namespace `fd`, and waits for it; directly if that is
/// the calling thread's own. EINVAL: not a network namespace; EPERM: this process may not enter it.
Result<void> run_in_network_namespace(int fd, const std::function<Result<void>()>& body);

}  // namespace skep::daemon
