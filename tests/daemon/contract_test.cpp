// The contract of class Kernel, kept by the kernel in a daemon and by the machine's own.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "client/daemon_directory.hpp"
#include "client/linux_kernel.hpp"
#include "client/remote_kernel.hpp"
#include "daemon/user_kernel.hpp"
#include "kernel_contract/contract_maps.hpp"
#include "kernel_contract/contract_objects.hpp"
#include "kernel_contract/contract_programs.hpp"

namespace skep::contract {
namespace {

/// A daemon's loop on a thread, in a directory of its own.
class DaemonThread {
 public:
  ~DaemonThread() {
    const u64 one = 1;
    if (stop_) (void)!::write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  Result<void> start() {
    std::string base = std::filesystem::temp_directory_path() / "skep-contract-XXXXXX";
    if (::mkdtemp(base.data()) == nullptr) return fail_errno(base);
    directory_ = base;
    served_ = TRY(daemon::user_kernel({})(directory_));
    stop_.reset(::eventfd(0, EFD_CLOEXEC));
    server_ = TRY(daemon::Server::create(
        *served_.kernel, TRY(daemon::listen_at(client::socket_path(directory_))), std::move(served_.hooks)));
    thread_ = std::thread([this] {
      EXPECT_TRUE(server_->run(stop_.get()));
      server_->drop_objects();
      served_.kernel.reset();
    });
    return {};
  }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  daemon::Served served_;
  UniqueFd stop_;
  std::unique_ptr<daemon::Server> server_;
  std::thread thread_;
};

Result<Instance> remote() {
  auto daemon = std::make_shared<DaemonThread>();
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

}  // namespace
}  // namespace skep::contract
