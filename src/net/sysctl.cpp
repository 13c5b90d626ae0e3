#include "net/sysctl.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace skep::net {
namespace {

std::string read_setting(const UniqueFd& file) {
  std::array<char, 256> text{};
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  std::string value(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

bool write_setting(const UniqueFd& file, const std::string& value) {
  return ::pwrite(file.get(), value.data(), value.size(), 0) == static_cast<ssize_t>(value.size());
}

}  // namespace

Result<ScopedSysctl> ScopedSysctl::set(const std::string& path, std::string value) {
  UniqueFd reading(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reading) return fail_errno(path);
  std::string before = read_setting(reading);
  if (before == value) return ScopedSysctl({}, {}, {});
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file || !write_setting(file, value)) return fail_errno(path);
  return ScopedSysctl(std::move(file), std::move(value), std::move(before));
}

ScopedSysctl::~ScopedSysctl() {
  if (file_ && read_setting(file_) == value_) (void)write_setting(file_, before_);
}

}  // namespace skep::net
