// The handler, and the table of probes that the linker collects. Signal handlers are one for a process, and
// so is what they look at.
#include "vm/probe.hpp"

#include <ucontext.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "base/fd.hpp"

extern "C" {
// Named by the linker after the section.
extern const skep::vm::detail::ProbeSite __start_skep_probe_sites[] __attribute__((visibility("hidden")));
extern const skep::vm::detail::ProbeSite __stop_skep_probe_sites[] __attribute__((visibility("hidden")));
}

namespace skep::vm {
namespace {

constexpr std::array signals = {SIGSEGV, SIGBUS};

struct State {
  std::mutex mutex;  ///< of those who install; the handler takes none
  bool installed = false;
  std::array<struct sigaction, signals.size()> before{};
  std::atomic<bool (*)(u64, void*)> code{nullptr};
};
State& state() {
  static State the_state;
  return the_state;
}

u64 address(const s32& field) { return reinterpret_cast<u64>(&field) + static_cast<u64>(s64{field}); }

/// As if this handler had not been there.
void hand_on(const struct sigaction& before, int number, siginfo_t* info, void* context) {
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  } else {
    // The instruction is tried again and now meets what was there before us; kill() does not come again.
    sigaction(number, &before, nullptr);
    if (info->si_code <= 0) raise(number);
  }
}

void on_signal(int number, siginfo_t* info, void* context) {
  const int kept = errno;
  if (info->si_code <= 0 || !recover_probe(context))
    for (std::size_t i = 0; i < signals.size(); ++i)
      if (signals[i] == number) hand_on(state().before[i], number, info, context);
  errno = kept;
}

}  // namespace

u64 program_counter(const void* context) {
  const auto* frame = static_cast<const ucontext_t*>(context);
#if defined(__x86_64__)
  return static_cast<u64>(frame->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return frame->uc_mcontext.pc;
#else
  return 0 * reinterpret_cast<u64>(frame);
#endif
}

void go_on_at(void* context, u64 pc) {
  auto* frame = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
  frame->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(pc);
#elif defined(__aarch64__)
  frame->uc_mcontext.pc = pc;
#else
  static_cast<void>(frame);
  static_cast<void>(pc);
#endif
}

bool recover_probe(void* context) {
  const u64 pc = program_counter(context);
  for (const auto* site = __start_skep_probe_sites; site != __stop_skep_probe_sites; ++site)
    if (address(site->load) == pc) {
      go_on_at(context, address(site->next));
      return true;
    }
  const auto recover = state().code.load();
  return recover != nullptr && recover(pc, context);
}

void set_code_recovery(bool (*recover)(u64 pc, void* context)) { state().code.store(recover); }

Result<void> survive_probes() {
  State& the_state = state();
  const std::lock_guard lock(the_state.mutex);
  if (the_state.installed) return {};
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (sigaction(signals[i], nullptr, &the_state.before[i]) != 0) return fail_errno("sigaction");
    struct sigaction ours{};
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    if (sigaction(signals[i], &ours, nullptr) != 0) return fail_errno("sigaction");
  }
  the_state.installed = true;
  return {};
}

}  // namespace skep::vm
