// Recorded and new output made comparable: what differs from run to run (ids, times, addresses, interface
// numbers) is replaced by a letter, JSON is compared as JSON.
#pragma once
#include <string>

namespace skep::test {

/// How far two outputs agree.
enum class Likeness {
  equal,    ///< in all but what differs from run to run
  engine,   ///< and in what tells of the engine: "jited 68B" or "not jited"
  wording,  ///< and in the lines that are only libbpf's words
  differs,
};
[[nodiscard]] std::string name_of(Likeness likeness);

[[nodiscard]] Likeness compare_output(const std::string& recorded, const std::string& now);
[[nodiscard]] Likeness compare_errors(const std::string& recorded, const std::string& now);

/// The text as it is compared.
[[nodiscard]] std::string normalised(std::string text);

}  // namespace skep::test
