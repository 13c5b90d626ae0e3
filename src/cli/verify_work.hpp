// What `skep verify` does: every program of every object, each on its own (its object's maps made, nothing
// attached), on all cores; and what it found, as plain values.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/outcome.hpp"
#include "kernel/uapi.hpp"

namespace skep::cli {

struct VerifyRequest {
  std::vector<std::string> objects;
  std::string program;  ///< only programs of this name; empty: all
  /// Statistics alone: the last message does not need more, and text for each of a million instructions takes
  /// time.
  static constexpr u32 usual_log_level = 4;
  u32 log_level = usual_log_level;
  bool show_log = false;  ///< a level was asked for
  bool against_linux = false;
  bool explain = false;
  std::string btf_file;  ///< type information of the kernel, instead of this machine's
  /// The object, and the program of it (empty: the first), that extensions, fentry and fexit programs are
  /// for.
  std::string target_file, target_program;
  u32 threads = 0;  ///< 0: as many as there are CPUs
  // --raw: one file of bare instructions instead of objects.
  std::string raw_file;
  ProgType raw_type = ProgType::unspec;
};

/// What one kernel said of one program.
struct Verdict {
  bool judged = false;  ///< the verifier spoke; else something before it failed, and `message` says what
  int code = 0;         ///< 0: accepted; else the errno
  u64 processed = 0;    ///< instructions, from the log's last line
  u64 nanoseconds = 0;  ///< of the load
  std::optional<u64>
      tag;              ///< of an accepted program: a hash of its instructions, as the loader relocated them
  u64 memory = 0;       ///< bytes that skep's verifier took for its states at most
  std::string message;  ///< the last line before the statistics, or why there is no verdict
  std::string log;
};

struct ProgramVerdict {
  std::string object, section, program;
  ProgType type{};
  std::size_t insns = 0;
  Verdict skep;
  std::optional<Verdict> linux_;  ///< with --against linux
};

/// The names of what differs: "verdict", "errno", "message", "processed", "tag".
[[nodiscard]] std::vector<std::string_view> differences(const Verdict& a, const Verdict& b);

/// Verifies everything; `found` is called on this thread, for the programs in order. A failure to open an
/// object is reported as a row without program.
Outcome<void> verify_all(const VerifyRequest& request,
                         const std::function<void(const ProgramVerdict&)>& found);

}  // namespace skep::cli
