// The log buffer (kernel: bpf_verifier_vlog(), bpf_vlog_reset(), bpf_vlog_finalize()). The kernel writes into
// the caller's memory, in rotating mode as into a ring; here only what that memory would hold at the end is
// kept, with its positions.
#include "verifier/log/log.hpp"

#include <algorithm>

namespace skep::verifier {
namespace {
constexpr std::size_t longest_write = 1023;  // BPF_VERIFIER_TMP_LOG_SIZE less the NUL
}

bool log_options_valid(const LogOptions& options) {
  constexpr u32 all_levels = log_level1 | log_level2 | log_stats | log_fixed;
  if (options.size != 0 && options.level == 0) return false;
  return (options.level & ~all_levels) == 0 && options.size <= UINT32_MAX >> 2;
}

void Log::write(std::string_view text) {
  if (!enabled()) return;
  text = text.substr(0, longest_write);
  const u64 begin = end_;
  end_ += text.size();
  longest_ = std::max(longest_, end_ + 1);
  if (size_ == 0) return;
  if ((level_ & log_fixed) != 0) {
    if (begin < size_) text_.append(text.substr(0, size_ - 1 - std::min<u64>(begin, size_ - 1)));
    return;
  }
  text_.append(text);
  const u64 with_nul = end_ + 1;
  if (with_nul - start_ >= size_) start_ = with_nul - size_;
  // Forget what has rotated out, but not byte by byte.
  const u64 stale = start_ - text_base_;
  if (stale > text_.size() / 2 && stale > 4096) {
    text_.erase(0, static_cast<std::size_t>(stale));
    text_base_ = start_;
  }
}

void Log::reset(u64 position) {
  if (!enabled() || position > end_) return;
  end_ = position;
  start_ = std::min(start_, end_);
  if (end_ < text_base_) {
    text_.clear();
    text_base_ = end_;
  } else if (end_ - text_base_ < text_.size()) {
    text_.resize(static_cast<std::size_t>(end_ - text_base_));
  }
}

void Log::remember(std::string_view text) {
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    if (continues_) {
      last_message_.append(line);
    } else if (!line.empty()) {
      last_message_ = line;
    }
    continues_ = newline == std::string_view::npos;
    if (continues_) return;
    text.remove_prefix(newline + 1);
  }
}

LogOutput Log::finish() const {
  LogOutput out;
  if (!enabled()) return out;
  const auto skip = static_cast<std::size_t>(start_ > text_base_ ? start_ - text_base_ : 0);
  out.text = text_.substr(std::min(skip, text_.size()));
  out.true_size = static_cast<u32>(std::min<u64>(longest_, UINT32_MAX));
  out.overflow = size_ != 0 && longest_ > size_;
  return out;
}

}  // namespace skep::verifier
