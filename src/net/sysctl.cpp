#include "net/sysctl.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace skep::net {
namespace {

Result<std::string> read_setting(const std::string& path) {
  std::string text = TRY(read_file(path, 4096));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<void> write_setting(const std::string& path, const std::string& value) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value.data(), value.size()) < 0) return fail_errno(path);
  return {};
}

}  // namespace

Result<ScopedSysctl> ScopedSysctl::set(std::string path, std::string value) {
  std::string before = TRY(read_setting(path));
  if (before == value) return ScopedSysctl({}, {}, {});
  TRY(write_setting(path, value));
  return ScopedSysctl(std::move(path), std::move(value), std::move(before));
}

ScopedSysctl::ScopedSysctl(ScopedSysctl&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      value_(std::move(other.value_)),
      before_(std::move(other.before_)) {}

ScopedSysctl::~ScopedSysctl() {
  if (path_.empty()) return;
  const auto now = read_setting(path_);
  if (now && *now == value_) (void)write_setting(path_, before_);
}

}  // namespace skep::net
