// What a daemon normally serves: a UserKernel with its pins and trace_pipe in the daemon's directory.
#pragma once
#include "daemon/daemon.hpp"

namespace skep::daemon {

/// What may differ from one daemon to another.
struct Profile {
  bool sha1_tags = false;  ///< program tags as Linux before 6.18 makes them
  bool no_jit = false;     ///< programs are interpreted
  bool harden = false;     ///< machine code with constants blinded and retpolines
  bool perf_map = false;   ///< machine code is named in /tmp/perf-PID.map
};

/// The profile that SKEP_TAG (sha256, the default, or sha1), SKEP_JIT (1, the default, or 0), SKEP_HARDEN and
/// SKEP_PERF_MAP (0, the default, or 1) ask for, so that a daemon started on first use has it too. EINVAL
/// names a value that is neither.
[[nodiscard]] Result<Profile> profile_from_environment();

[[nodiscard]] KernelFactory user_kernel(const Profile& profile);

}  // namespace skep::daemon
