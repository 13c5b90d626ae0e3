// Buffered output to a descriptor.
#include "cli/sink.hpp"

#include <unistd.h>

#include <cerrno>

namespace skep::cli {

void FdSink::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= 64 * 1024) flush();
}

void FdSink::flush() {
  std::string_view rest = buffer_;
  while (good_ && !rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      good_ = false;
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  buffer_.clear();
}

}  // namespace skep::cli
