// `skep shell`: this process in namespaces of its own, in which the paths of the kernel's eBPF are the
// daemon's, and then another program in its place.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"

namespace skep::client {

struct ShellPlan {
  std::string directory;   ///< the daemon's
  std::string pins;        ///< appears as /sys/fs/bpf
  std::string trace_pipe;  ///< appears as trace_pipe in /sys/kernel/tracing and /sys/kernel/debug/tracing
  std::string program;     ///< ourselves: what `bpftool` is
};

/// Moves the calling process, which must be single-threaded, into a mount namespace of its own with
/// ShellPlan's paths in it. Without the privilege for that it takes a user namespace as well, in which the
/// user stays who he is. EPERM, and a sentence that says so, where neither is allowed. Also sets SKEP_DIR and
/// PATH.
Result<void> enter_shell_namespace(const ShellPlan& plan);

}  // namespace skep::client
