// The contract of class Kernel, kept by the kernel in a daemon and by the machine's own.
#include <gtest/gtest.h>

#include "client/linux_kernel.hpp"
#include "client/remote_kernel.hpp"
#include "daemon/daemon_thread.hpp"
#include "kernel_contract/functions.hpp"

namespace skep::contract {
namespace {

Result<Instance> remote() {
  auto daemon = std::make_shared<daemon::DaemonThread>();
  TRY(daemon->start());
  return Instance{daemon, TRY(client::RemoteKernel::connect({daemon->directory(), {}}))};
}

Result<Instance> linux() {
  auto kernel = std::make_unique<client::LinuxKernel>(client::LinuxKernel::Options{.mount_bpffs = false});
  if (const auto id = kernel->get_next_id(ObjectKind::prog, 0); !id && id.error().code != ENOENT)
    return fail(id.error().code, "bpf(2) is not to be had here: " + id.error().what);
  return Instance{nullptr, std::move(kernel)};
}

INSTANTIATE_TEST_SUITE_P(Daemon, KernelContract,
                         ::testing::Values(Subject{"remote", remote}, Subject{"linux", linux}), subject_name);
INSTANTIATE_TEST_SUITE_P(Daemon, PacketContract,
                         ::testing::Values(Subject{"remote", remote}, Subject{"linux", linux}), subject_name);
INSTANTIATE_TEST_SUITE_P(Daemon, FunctionContract,
                         ::testing::Values(Subject{"remote", remote}, Subject{"linux", linux}), subject_name);

}  // namespace
}  // namespace skep::contract
