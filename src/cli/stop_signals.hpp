// For verbs that go on until they are told to stop.
#pragma once
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace skep::cli {

/// SIGHUP, SIGINT and SIGTERM as a readable descriptor, for as long as this lives.
class StopSignals {
 public:
  StopSignals() {
    sigset_t stop;
    sigemptyset(&stop);
    for (const int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&stop, signal);
    pthread_sigmask(SIG_BLOCK, &stop, &before_);
    fd_.reset(signalfd(-1, &stop, SFD_CLOEXEC));
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() {
    signalfd_siginfo taken{};
    pollfd ready{fd_.get(), POLLIN, 0};
    while (poll(&ready, 1, 0) == 1 && read(fd_.get(), &taken, sizeof taken) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

}  // namespace skep::cli
