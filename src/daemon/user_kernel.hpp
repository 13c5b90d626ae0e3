// What a daemon normally serves: a UserKernel with its pins and trace_pipe in the daemon's directory.
#pragma once
#include "daemon/daemon.hpp"

namespace skep::daemon {

/// A KernelFactory.
Result<Served> user_kernel(const std::string& directory);

}  // namespace skep::daemon
