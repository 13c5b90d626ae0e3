// Serves the commands that are not bpf(2)'s (client/wire.hpp's Own), except those about the daemon itself.
#pragma once
#include "client/wire.hpp"
#include "daemon/caller.hpp"

namespace skep::daemon {

/// As serve_bpf(); answers of no fixed size go to `blob`.
Result<void> serve_own(Kernel& kernel, Caller& caller, client::wire::Own command, MutBytes attr,
                       std::vector<std::byte>& blob);

}  // namespace skep::daemon
