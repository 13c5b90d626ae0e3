// From `--kernel NAME` to a Kernel.
#include "cli/kernels.hpp"

#include "client/linux_kernel.hpp"
#include "client/remote_kernel.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::cli {

Result<std::shared_ptr<Kernel>> make_kernel(const Options& options) {
  if (options.kernel == "linux")
    return std::make_shared<client::LinuxKernel>(
        client::LinuxKernel::Options{.mount_bpffs = !options.nomount});
  if (options.kernel == "inproc") return TRY(runtime::UserKernel::create({}));
  return TRY(client::RemoteKernel::connect());
}

}  // namespace skep::cli
