// See xdp_attachment.hpp. The worker owns port and hook; everybody else reads counters, swaps the program
// pointer (reclaimed by RCU: the worker passes a quiescent state between bursts) or asks it to stop.
#include "hooks/xdp_attachment.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <atomic>

#include "base/fd.hpp"
#include "base/rcu.hpp"
#include "net/packet_port.hpp"

namespace skep::hooks {
namespace {
/// How often a worker looks how its port stands: when idle, and after so many bursts without a pause.
constexpr int kIdleCheckMs = 1000;
constexpr u32 kBurstsBetweenChecks = 256;
}  // namespace

struct XdpAttachment::Impl {
  Impl(std::unique_ptr<net::Port> port_in, UniqueFd wake_in, const XdpConfig& config)
      : port(std::move(port_in)),
        hook(port->ifindex(), config.run),
        wake(std::move(wake_in)),
        program(new XdpProgram(config.program)) {}
  ~Impl() { delete program.load(); }

  Result<void> start();
  void stop();
  void work() noexcept;
  void wait() noexcept;
  void check() noexcept;

  std::unique_ptr<net::Port> port;
  XdpHook hook;
  UniqueFd wake;  ///< eventfd: readable when the worker is to stop
  std::atomic<const XdpProgram*> program;
  std::atomic<bool> stopping{false};
  std::atomic<bool> gone{false};
  pthread_t thread{};
};

Result<void> XdpAttachment::Impl::start() {
  // Signals are for the threads that wait for them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(
      &thread, nullptr,
      [](void* self) -> void* {
        static_cast<Impl*>(self)->work();
        return nullptr;
      },
      this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return fail(error, fmt::format("starting a worker thread: {}", errno_text(error)));
  ::pthread_setname_np(thread, fmt::format("skep-xdp/{}", port->ifindex()).substr(0, 15).c_str());
  return {};
}

void XdpAttachment::Impl::stop() {
  stopping.store(true, std::memory_order_release);
  ::eventfd_write(wake.get(), 1);
  ::pthread_join(thread, nullptr);
}

/// Runs to completion, burst by burst; once told to stop, until everything received has been handled.
void XdpAttachment::Impl::work() noexcept {
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
      hook.run_burst(*program.load(std::memory_order_acquire), burst);
      port->complete(burst);
      rcu::quiescent();
      if (++bursts % kBurstsBetweenChecks == 0) check();
    } else if (draining) {
      return;
    } else {
      wait();
    }
  }
}

void XdpAttachment::Impl::wait() noexcept {
  rcu::offline();
  const bool listening = !gone.load(std::memory_order_relaxed);
  std::array<pollfd, 3> events{pollfd{wake.get(), POLLIN, 0}, pollfd{port->poll_fd(), POLLIN, 0},
                               pollfd{port->event_fd(), POLLIN, 0}};
  const int ready = ::poll(events.data(), listening ? 3 : 1, listening ? kIdleCheckMs : -1);
  const bool trouble = (events[1].revents & ~POLLIN) != 0 || events[2].revents != 0;
  if (listening && (ready == 0 || trouble)) check();
  rcu::online();
}

void XdpAttachment::Impl::check() noexcept {
  if (port->check() != net::PortState::open) gone.store(true, std::memory_order_relaxed);
}

XdpAttachment::XdpAttachment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<XdpAttachment>> XdpAttachment::open(u32 ifindex, const XdpConfig& config) {
  return open(TRY(net::open_packet_port(ifindex)), config);
}

Result<std::unique_ptr<XdpAttachment>> XdpAttachment::open(std::unique_ptr<net::Port> port,
                                                           const XdpConfig& config) {
  if (port->poll_fd() < 0) return fail(EINVAL, "a port that cannot be waited for has no worker");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return fail_errno("eventfd");
  auto impl = std::make_unique<Impl>(std::move(port), std::move(wake), config);
  TRY(impl->start());
  return std::unique_ptr<XdpAttachment>(new XdpAttachment(std::move(impl)));
}

XdpAttachment::~XdpAttachment() { impl_->stop(); }

void XdpAttachment::set_program(const XdpProgram& program) {
  const XdpProgram* old = impl_->program.exchange(new XdpProgram(program), std::memory_order_acq_rel);
  rcu::synchronize();
  delete old;
}

u32 XdpAttachment::ifindex() const { return impl_->port->ifindex(); }
XdpStats XdpAttachment::stats() const { return collect(impl_->hook, *impl_->port); }
bool XdpAttachment::gone() const { return impl_->gone.load(std::memory_order_relaxed); }

}  // namespace skep::hooks
