// The verifier's log as bpf(2) fills it: levels, a buffer that keeps its tail (rotating) or its head (fixed),
// the true size, and resets to an earlier position (kernel: kernel/bpf/log.c). Relies on verify.hpp and fmt.
#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "verifier/verify.hpp"

namespace skep::verifier {

/// Bits of LogOptions::level.
enum LogLevel : u32 { log_level1 = 1, log_level2 = 2, log_stats = 4, log_fixed = 8 };

/// EINVAL's condition on what the caller asks for (kernel: bpf_verifier_log_attr_valid); level and size only,
/// whether there is a buffer is the caller's knowledge: `size` != 0 means there is one.
[[nodiscard]] bool log_options_valid(const LogOptions& options);

class Log {
 public:
  explicit Log(const LogOptions& options) : level_(options.level), size_(options.size) {}

  [[nodiscard]] bool enabled() const { return level_ != 0; }
  /// The trace of the walk is wanted (level 1 or 2).
  [[nodiscard]] bool tracing() const { return (level_ & (log_level1 | log_level2)) != 0; }
  [[nodiscard]] bool level2() const { return (level_ & log_level2) != 0; }
  [[nodiscard]] bool stats() const { return (level_ & log_stats) != 0; }

  /// A message about the program: formatted and remembered whatever the level, so that a Rejection has its
  /// sentence; written if a log is on.
  template <class... A>
  void say(fmt::format_string<A...> format, A&&... args) {
    const std::string text = fmt::format(format, std::forward<A>(args)...);
    remember(text);
    if (enabled()) write(text);
  }
  /// Part of the trace: costs nothing without a log, is not remembered.
  template <class... A>
  void trace(fmt::format_string<A...> format, A&&... args) {
    if (enabled()) write(fmt::format(format, std::forward<A>(args)...));
  }
  /// One write is cut at 1023 bytes, as the kernel's formatting buffer does.
  void write(std::string_view text);

  /// The length of everything written so far (kernel: end_pos).
  [[nodiscard]] u64 position() const { return end_; }
  /// Drops everything after `position`.
  void reset(u64 position);

  /// The last complete line (or unfinished last line) passed to say().
  [[nodiscard]] const std::string& last_message() const { return last_message_; }
  [[nodiscard]] LogOutput finish() const;

 private:
  void remember(std::string_view text);

  u32 level_ = 0;
  u32 size_ = 0;
  u64 start_ = 0;  ///< rotating: first byte still kept; text_ begins at text_base_ <= start_
  u64 end_ = 0;
  u64 longest_ = 0;  ///< the most bytes, NUL included, that were ever needed
  u64 text_base_ = 0;
  std::string text_;
  std::string last_message_;
  bool continues_ = false;  ///< last_message_ has not seen its newline
};

}  // namespace skep::verifier
