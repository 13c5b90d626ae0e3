// What the C API and `skep run` share: a UserKernel of this process without a daemon, objects loaded onto it,
// workers to run them on, and the text of bpf_trace_printk where the caller wants it.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rcu.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::embed {

/// Hands each line to a function, with the context the program ran on; called from running threads.
class CallbackTrace final : public TraceSink {
 public:
  using Callback = std::function<void(std::string_view text, const RunContext& run)>;
  explicit CallbackTrace(Callback callback) : callback_(std::move(callback)) {}
  void trace_printk(std::string_view text, const RunContext& run) noexcept override;
  void trace_event(std::string_view event, std::string_view text, const RunContext& run) noexcept override;

 private:
  Callback callback_;
};

/// Keeps the loader's messages: the first warning, which says what went wrong (later ones only what that
/// stopped), and the verifier's log.
class Messages final : public loader::Diagnostics {
 public:
  void message(loader::Level level, const std::string& text) override;
  [[nodiscard]] const std::string& warning() const { return warning_; }
  [[nodiscard]] const std::string& verifier_log() const { return verifier_log_; }

 private:
  std::string warning_;
  std::string verifier_log_;
};

struct Object {
  loader::ObjectSpec spec;
  loader::LoadedObject loaded;

  /// By name; the first one for an empty name. ENOENT names what is not there.
  [[nodiscard]] Result<const loader::LoadedProgram*> program(std::string_view name) const;
  /// By the variable's name, the map's name, or the section (".bss") of global data.
  [[nodiscard]] Result<const loader::LoadedMap*> map(std::string_view name) const;
};

/// One eBPF system in this process. Thread-safe.
class Session {
 public:
  struct Options {
    bool jit = true;
    bool harden = false, perf_map = false, report_faults = false;  ///< as runtime::Config has them
    u32 cpus = 0;
    CallbackTrace::Callback trace;
  };
  static Result<std::unique_ptr<Session>> create(Options options);

  [[nodiscard]] runtime::UserKernel& kernel() { return *kernel_; }
  [[nodiscard]] bool jit() const { return jit_; }  ///< as asked for
  /// `messages` (may be null) gets what the loader says.
  Result<Object> load(loader::ObjectSpec spec, Messages* messages);

  /// A CPU for the calling thread. EBUSY: all are taken.
  Result<u32> take_cpu();
  void release_cpu(u32 cpu);

 private:
  Session() = default;
  std::unique_ptr<CallbackTrace> trace_;
  std::unique_ptr<runtime::UserKernel> kernel_;
  bool jit_ = true;
  std::mutex mutex_;
  std::vector<bool> cpus_taken_;
};

}  // namespace skep::embed
