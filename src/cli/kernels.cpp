// From `--kernel NAME` to a Kernel.
#include "cli/kernels.hpp"

#include "client/linux_kernel.hpp"

namespace skep::cli {

Result<std::unique_ptr<Kernel>> make_kernel(const Options& options) {
  if (options.kernel == "linux")
    return std::make_unique<client::LinuxKernel>(
        client::LinuxKernel::Options{.mount_bpffs = !options.nomount});
  return fail(ENOSYS, "this build has no kernel '" + options.kernel + "' yet");
}

}  // namespace skep::cli
