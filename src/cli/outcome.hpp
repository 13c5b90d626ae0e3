// What a verb returns: nothing, or a Failure that carries the exit status and the one line to print.
// bpftool's exit statuses are 255 for its own complaints and 256 - errno where it passes on what bpf(2)
// returned. Relies on base/result.hpp; TRY works on an Outcome as it does on a Result.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace skep::cli {

inline constexpr int kExitFailure = 255;

struct Failure {
  int status = kExitFailure;  ///< the process's exit status, 1..255
  std::string message;  ///< printed as "Error: MESSAGE" or {"error":"MESSAGE"}; empty: nothing is printed
  bool usage = false;   ///< print the noun's usage instead
  std::string detail;   ///< our own sentence about it, printed with -d
};

template <class T>
class [[nodiscard]] Outcome : public std::expected<T, Failure> {
 public:
  using std::expected<T, Failure>::expected;
};
template <>
class [[nodiscard]] Outcome<void> : public std::expected<void, Failure> {
 public:
  using std::expected<void, Failure>::expected;
};

[[nodiscard]] inline std::unexpected<Failure> refuse(std::string message, int status = kExitFailure) {
  return std::unexpected<Failure>(Failure{status, std::move(message), false, {}});
}
/// The usage of the noun that is being run, exit status 255.
[[nodiscard]] inline std::unexpected<Failure> wrong_usage() {
  return std::unexpected<Failure>(Failure{kExitFailure, {}, true, {}});
}
/// Exit status for a returned errno: what `exit(-errno)` gives.
[[nodiscard]] constexpr int status_of_errno(int code) { return (256 - (code & 0xff)) & 0xff; }

/// "CONTEXT: strerror" for what the kernel refused, and its exit status 255. Where the errno says "not
/// supported", the kernel's own sentence follows, because strerror alone does not say what is missing.
[[nodiscard]] std::unexpected<Failure> kernel_refused(std::string_view context, const Error& error,
                                                      int status = kExitFailure);
/// The same with 256 - errno as exit status.
[[nodiscard]] std::unexpected<Failure> kernel_refused_errno(std::string_view context, const Error& error);

}  // namespace skep::cli
