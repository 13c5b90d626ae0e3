// The verbs of `gen`.
#pragma once
#include <array>

#include "cli/tables.hpp"

namespace skep::cli {

/// `gen skeleton FILE [name OBJECT_NAME]`
Outcome<void> gen_skeleton(Cli& cli, Args args);

}  // namespace skep::cli
