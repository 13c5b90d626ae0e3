// Serves one bpf(2) call from a Kernel: the attr as the caller passed it, everything else through Caller.
#pragma once
#include "daemon/caller.hpp"
#include "kernel/uapi.hpp"

namespace skep::daemon {

/// Carries `cmd` out. `attr` is the caller's bytes and is left as bpf(2) would leave it, after an error as
/// well. A descriptor that the call makes goes to Caller::hand_out. Errors are bpf(2)'s; EINVAL for an
/// unknown command.
Result<void> serve_bpf(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes attr);

}  // namespace skep::daemon
