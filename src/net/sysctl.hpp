// A kernel setting changed for as long as the object lives.
#pragma once
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace skep::net {

class ScopedSysctl {
 public:
  /// Writes `value` to `path` (under /proc/sys, of the calling thread's network namespace). The destructor,
  /// on any thread, writes back what was there before, unless somebody changed it meanwhile.
  static Result<ScopedSysctl> set(const std::string& path, std::string value);
  ScopedSysctl(ScopedSysctl&&) = default;
  ScopedSysctl& operator=(ScopedSysctl&&) = delete;
  ~ScopedSysctl();

 private:
  ScopedSysctl(UniqueFd file, std::string value, std::string before)
      : file_(std::move(file)), value_(std::move(value)), before_(std::move(before)) {}
  UniqueFd file_;  ///< stays with the namespace it was opened in; none: nothing to restore
  std::string value_;
  std::string before_;
};

}  // namespace skep::net
