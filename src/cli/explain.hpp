// `skep verify --explain`: a refusal in words, from what the verifier wrote of the path that led to it.
#pragma once
#include <string>
#include <string_view>

namespace skep::cli {

/// Where the program was refused (instruction and source line), what the registers that matter held, which
/// steps of the path gave them those values, and what usually mends it. `log` is of level 1 or 2. Empty if
/// the log has no instruction in it (refused before the walk) and no advice is known.
[[nodiscard]] std::string explain(std::string_view log, std::string_view message);

}  // namespace skep::cli
