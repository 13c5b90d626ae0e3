// See user_kernel.hpp.
#include "daemon/user_kernel.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "runtime/user_kernel.hpp"

namespace skep::daemon {
namespace {

/// Whether the variable has `other` instead of `usual`, its value when it is not set.
Result<bool> is_other(const char* variable, std::string_view usual, std::string_view other) {
  const char* value = std::getenv(variable);
  if (value == nullptr || value == usual) return false;
  if (value == other) return true;
  return fail(EINVAL, fmt::format("{} is '{}', not {} or {}", variable, value, usual, other));
}

Result<Served> make(const std::string& directory, const Profile& profile) {
  runtime::Config config;
  config.directory = directory;
  config.tag_hash = profile.sha1_tags ? runtime::TagHash::sha1 : runtime::TagHash::sha256;
  config.no_jit = profile.no_jit;
  config.harden = profile.harden;
  config.perf_map = profile.perf_map;
  config.report_faults = true;
  auto kernel = TRY(runtime::UserKernel::create(config));
  Served served;
  served.hooks.wake_fd = kernel->pin_wake_fd();
  served.hooks.before_request = [raw = kernel.get()] { raw->sweep(); };
  for (const std::string& sentence : kernel->restored_settings()) {
    std::fprintf(stderr, "left by a daemon that was killed: %s\n", sentence.c_str());
    served.hooks.about += fmt::format("left by a daemon that was killed: {}\n", sentence);
  }
  served.kernel = std::move(kernel);
  return served;
}

}  // namespace

Result<Profile> profile_from_environment() {
  Profile profile;
  profile.sha1_tags = TRY(is_other("SKEP_TAG", "sha256", "sha1"));
  profile.no_jit = TRY(is_other("SKEP_JIT", "1", "0"));
  profile.harden = TRY(is_other("SKEP_HARDEN", "0", "1"));
  profile.perf_map = TRY(is_other("SKEP_PERF_MAP", "0", "1"));
  return profile;
}

KernelFactory user_kernel(const Profile& profile) {
  return [profile](const std::string& directory) { return make(directory, profile); };
}

}  // namespace skep::daemon
