// The kernels the command line can talk to: the only file of this room that knows classes of them.
#pragma once
#include "cli/cli.hpp"

namespace skep::cli {

/// The Kernel of `--kernel NAME`.
Result<std::shared_ptr<Kernel>> make_kernel(const Options& options);

}  // namespace skep::cli
