// Failures made from the kernel's errors.
#include "cli/outcome.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace skep::cli {

namespace {
bool needs_explaining(int code) {
  return code == EOPNOTSUPP || code == kENOTSUPP || code == ENOSYS || code == EPROTONOSUPPORT;
}
}  // namespace

std::unexpected<Failure> kernel_refused(std::string_view context, const Error& error, int status) {
  std::string message =
      context.empty() ? errno_text(error.code) : fmt::format("{}: {}", context, errno_text(error.code));
  if (needs_explaining(error.code) && !error.what.empty()) message += fmt::format(" ({})", error.what);
  return std::unexpected<Failure>(Failure{status, std::move(message), false, error.what});
}

std::unexpected<Failure> kernel_refused_errno(std::string_view context, const Error& error) {
  return kernel_refused(context, error, status_of_errno(error.code));
}

}  // namespace skep::cli
