// Test runs that take as long as the client likes: others are served meanwhile, and they end when nobody
// waits for them any more.
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>

#include "daemon/daemon_thread.hpp"

namespace skep::daemon {
namespace {

using std::chrono::steady_clock;
constexpr auto patience = std::chrono::seconds(20);

class LongRuns : public testing::Test {
 protected:
  void SetUp() override {
    const auto started = daemon_.start();
    ASSERT_TRUE(started) << started.error().what;
    other_ = connect();
    ProgramSpec spec;
    spec.type = ProgType::xdp;
    spec.name = "pass";
    spec.license = "GPL";
    spec.insns = {{.code = 0xb7, .imm = 2}, {.code = 0x95}};
    program_ = *other_->prog_load(spec);
    id_ = other_->prog_info(program_.fd())->id;
  }
  std::unique_ptr<Kernel> connect() {
    auto kernel = client::RemoteKernel::connect({daemon_.directory(), {}});
    EXPECT_TRUE(kernel) << kernel.error().what;
    return std::move(*kernel);
  }
  /// Thousands of millions of runs: minutes.
  Result<TestRunResult> run_for_minutes(Kernel& kernel) {
    const Handle program = *kernel.get_fd_by_id(ObjectKind::prog, id_);
    TestRunSpec spec;
    spec.data_in.resize(64);
    spec.repeat = UINT32_MAX;
    return kernel.prog_test_run(program.fd(), spec);
  }
  DaemonThread daemon_;
  std::unique_ptr<Kernel> other_;
  Handle program_;
  u32 id_ = 0;
};

TEST_F(LongRuns, LeaveOthersServedAndEndWithTheDaemon) {
  std::atomic<int> error = 0;
  std::atomic<bool> running = false;
  std::thread runner([&] {
    const auto kernel = connect();
    running = true;
    const auto result = run_for_minutes(*kernel);
    error = result ? 0 : result.error().code;
    running = false;
  });
  while (!running) std::this_thread::yield();
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(other_->prog_info(program_.fd()));
  // A run of another client's, beside the first one.
  TestRunSpec spec;
  spec.data_in.resize(64);
  const auto short_run = other_->prog_test_run(program_.fd(), spec);
  EXPECT_TRUE(short_run && short_run->retval == 2);
  EXPECT_TRUE(running) << "it ended by itself: error " << error;
  daemon_.stop();
  runner.join();
  EXPECT_EQ(error, EINTR);
}

TEST_F(LongRuns, EndWhenTheClientIsKilled) {
  const pid_t client = ::fork();
  if (client == 0) {
    const auto kernel = connect();
    (void)run_for_minutes(*kernel);
    ::_exit(0);
  }
  // The program is in use by nobody but the run once ours is closed.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  program_.reset();
  ASSERT_TRUE(other_->get_fd_by_id(ObjectKind::prog, id_)) << "the client did not get as far as its run";
  ::kill(client, SIGKILL);
  ::waitpid(client, nullptr, 0);
  const auto begin = steady_clock::now();
  while (other_->get_fd_by_id(ObjectKind::prog, id_) && steady_clock::now() - begin < patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(other_->get_fd_by_id(ObjectKind::prog, id_).error().code, ENOENT);
}

}  // namespace
}  // namespace skep::daemon
