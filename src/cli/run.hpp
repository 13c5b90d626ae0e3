// The command line as a function: what main() calls, and tests.
#pragma once
#include <string>
#include <vector>

#include "cli/cli.hpp"

namespace skep::cli {

/// Runs one command line, `argv[0]` included, and returns the exit status.
int run(const std::vector<std::string>& argv, Surroundings& around);

}  // namespace skep::cli
