// See interface_hook.hpp. The worker owns port and hook; everybody else reads counters, swaps the program
// pointer (reclaimed by RCU: the worker passes a quiescent state between bursts) or asks it to stop.
#include "hooks/interface_hook.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <atomic>

#include "base/fault_stack.hpp"
#include "base/fd.hpp"
#include "base/rcu.hpp"
#include "net/egress_port.hpp"
#include "net/packet_port.hpp"

namespace skep::hooks {
namespace {
/// How often a worker looks how its port stands: when idle, and after so many bursts without a pause.
constexpr int kIdleCheckMs = 1000;
constexpr u32 kBurstsBetweenChecks = 256;
}  // namespace

struct InterfaceHook::Impl {
  Impl(std::unique_ptr<net::Port> port_in, UniqueFd wake_in, const InterfaceHookConfig& config)
      : port(std::move(port_in)),
        xdp(port->ifindex(), config.run),
        tc(port->ifindex(), config.direction, config.run),
        wake(std::move(wake_in)),
        programs(new Programs{config.program, config.tc}),
        direction_name(config.direction == TcDirection::ingress ? "skep-rx" : "skep-tx") {}
  ~Impl() { delete programs.load(); }
  struct Programs {
    XdpProgram xdp;
    TcChain tc;
  };

  Result<void> start();
  void stop();
  void work() noexcept;
  void run(const Programs& now, std::span<net::Packet> burst) noexcept;
  void wait() noexcept;
  void check() noexcept;

  std::unique_ptr<net::Port> port;
  XdpHook xdp;
  TcHook tc;
  UniqueFd wake;  ///< eventfd: readable when the worker is to stop
  std::atomic<const Programs*> programs;
  std::string_view direction_name;  ///< of the thread
  std::atomic<bool> stopping{false};
  std::atomic<bool> gone{false};
  pthread_t thread{};
};

Result<void> InterfaceHook::Impl::start() {
  // Signals are for the threads that wait for them.
  sigset_t all, before;
  ::sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) ::sigdelset(&all, fault);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(
      &thread, nullptr,
      [](void* self) -> void* {
        const FaultStack stack;
        static_cast<Impl*>(self)->work();
        return nullptr;
      },
      this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return fail(error, fmt::format("starting a worker thread: {}", errno_text(error)));
  ::pthread_setname_np(thread, fmt::format("{}/{}", direction_name, port->ifindex()).substr(0, 15).c_str());
  return {};
}

void InterfaceHook::Impl::stop() {
  stopping.store(true, std::memory_order_release);
  ::eventfd_write(wake.get(), 1);
  ::pthread_join(thread, nullptr);
}

/// Runs to completion, burst by burst; once told to stop, until everything received has been handled.
void InterfaceHook::Impl::work() noexcept {
  const rcu::Reader reader;
  std::array<net::Packet, limits::packet_burst> packets{};
  bool draining = false;
  u32 bursts = 0;
  for (;;) {
    if (!draining && stopping.load(std::memory_order_acquire)) {
      port->stop_rx();
      draining = true;
    }
    if (const u32 count = port->rx_burst(packets); count != 0) {
      const std::span burst(packets.data(), count);
      run(*programs.load(std::memory_order_acquire), burst);
      port->complete(burst);
      tc.release();
      rcu::quiescent();
      if (++bursts % kBurstsBetweenChecks == 0) check();
    } else if (draining) {
      return;
    } else {
      wait();
    }
  }
}

void InterfaceHook::Impl::run(const Programs& now, std::span<net::Packet> burst) noexcept {
  if (now.xdp.entry.run != nullptr)
    xdp.run_burst(now.xdp, burst);
  else
    for (net::Packet& packet : burst) packet.disposition = net::Disposition::pass;
  if (!now.tc.empty()) tc.run_burst(now.tc, burst);
}

void InterfaceHook::Impl::wait() noexcept {
  rcu::offline();
  const bool listening = !gone.load(std::memory_order_relaxed);
  std::array<pollfd, 3> events{pollfd{wake.get(), POLLIN, 0}, pollfd{port->poll_fd(), POLLIN, 0},
                               pollfd{port->event_fd(), POLLIN, 0}};
  const int ready = ::poll(events.data(), listening ? 3 : 1, listening ? kIdleCheckMs : -1);
  const bool trouble = (events[1].revents & ~POLLIN) != 0 || events[2].revents != 0;
  if (listening && (ready == 0 || trouble)) check();
  rcu::online();
}

void InterfaceHook::Impl::check() noexcept {
  if (port->check() != net::PortState::open) gone.store(true, std::memory_order_relaxed);
}

InterfaceHook::InterfaceHook(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<InterfaceHook>> InterfaceHook::open(u32 ifindex, const InterfaceHookConfig& config) {
  auto port = config.direction == TcDirection::ingress ? TRY(net::open_packet_port(ifindex, config.journal))
                                                       : TRY(net::open_egress_port(ifindex, config.journal));
  return open(std::move(port), config);
}

Result<std::unique_ptr<InterfaceHook>> InterfaceHook::open(std::unique_ptr<net::Port> port,
                                                           const InterfaceHookConfig& config) {
  if (port->poll_fd() < 0) return fail(EINVAL, "a port that cannot be waited for has no worker");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return fail_errno("eventfd");
  auto impl = std::make_unique<Impl>(std::move(port), std::move(wake), config);
  TRY(impl->start());
  return std::unique_ptr<InterfaceHook>(new InterfaceHook(std::move(impl)));
}

InterfaceHook::~InterfaceHook() { impl_->stop(); }

void InterfaceHook::set_programs(const XdpProgram& program, TcChain tc) {
  const auto* old =
      impl_->programs.exchange(new Impl::Programs{program, std::move(tc)}, std::memory_order_acq_rel);
  rcu::synchronize();
  delete old;
}

u32 InterfaceHook::ifindex() const { return impl_->port->ifindex(); }
XdpStats InterfaceHook::stats() const { return collect(impl_->xdp, *impl_->port); }
TcStats InterfaceHook::tc_stats() const { return impl_->tc.stats(); }
bool InterfaceHook::gone() const { return impl_->gone.load(std::memory_order_relaxed); }

}  // namespace skep::hooks
