// A daemon's loop on a thread of a test, serving a UserKernel in a directory of its own.
#pragma once
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "client/daemon_directory.hpp"
#include "client/remote_kernel.hpp"
#include "daemon/user_kernel.hpp"

namespace skep::daemon {

/// A daemon's loop on a thread, in a directory of its own.
class DaemonThread {
 public:
  ~DaemonThread() {
    stop();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  Result<void> start() {
    std::string base = std::filesystem::temp_directory_path() / "skep-contract-XXXXXX";
    if (::mkdtemp(base.data()) == nullptr) return fail_errno(base);
    directory_ = base;
    served_ = TRY(user_kernel({})(directory_));
    stop_.reset(::eventfd(0, EFD_CLOEXEC));
    server_ = TRY(Server::create(*served_.kernel, TRY(listen_at(client::socket_path(directory_))),
                                 std::move(served_.hooks)));
    thread_ = std::thread([this] {
      EXPECT_TRUE(server_->run(stop_.get()));
      server_->drop_objects();
      served_.kernel.reset();
    });
    return {};
  }
  /// As SIGTERM does.
  void stop() {
    const u64 one = 1;
    if (stop_) (void)!::write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  Served served_;
  UniqueFd stop_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace skep::daemon
