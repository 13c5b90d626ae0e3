// A kernel setting changed for as long as the object lives.
#pragma once
#include <string>

#include "base/result.hpp"

namespace skep::net {

class ScopedSysctl {
 public:
  /// Writes `value` to `path` (under /proc/sys); the destructor writes back what was there before, unless
  /// somebody changed it meanwhile.
  static Result<ScopedSysctl> set(std::string path, std::string value);
  ScopedSysctl(ScopedSysctl&& other) noexcept;
  ScopedSysctl& operator=(ScopedSysctl&&) = delete;
  ~ScopedSysctl();

 private:
  ScopedSysctl(std::string path, std::string value, std::string before)
      : path_(std::move(path)), value_(std::move(value)), before_(std::move(before)) {}
  std::string path_;  ///< empty: nothing to restore
  std::string value_;
  std::string before_;
};

}  // namespace skep::net
