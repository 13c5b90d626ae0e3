// See user_kernel.hpp.
#include "daemon/user_kernel.hpp"

#include "runtime/user_kernel.hpp"

namespace skep::daemon {

Result<Served> user_kernel(const std::string& directory) {
  auto kernel = TRY(runtime::UserKernel::create({.directory = directory}));
  Served served;
  served.hooks.wake_fd = kernel->pin_wake_fd();
  served.hooks.before_request = [raw = kernel.get()] { raw->sweep(); };
  served.kernel = std::move(kernel);
  return served;
}

}  // namespace skep::daemon
