// The verbs of `gen`.
#pragma once
#include <array>

#include "cli/tables.hpp"

namespace skep::cli {

/// `gen skeleton FILE [name OBJECT_NAME]`
Outcome<void> gen_skeleton(Cli& cli, Args args);
/// `gen subskeleton FILE [name OBJECT_NAME]`
Outcome<void> gen_subskeleton(Cli& cli, Args args);
/// `gen object OUTPUT_FILE INPUT_FILE [INPUT_FILE...]`
Outcome<void> gen_object(Cli& cli, Args args);
/// `gen min_core_btf INPUT OUTPUT OBJECT [OBJECT...]`
Outcome<void> gen_min_core_btf(Cli& cli, Args args);

}  // namespace skep::cli
