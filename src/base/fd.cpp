#include "base/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace skep {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<UniqueFd> UniqueFd::duplicate() const {
  const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return fail_errno("dup");
  return UniqueFd(fd);
}

Result<Mapping> Mapping::map(std::size_t size, int prot, int flags, int fd, s64 offset,
                             std::string_view what) {
  void* address = ::mmap(nullptr, size, prot, flags, fd, offset);
  if (address == MAP_FAILED) return fail_errno(what);
  return Mapping(address, size);
}

void Mapping::reset() {
  if (address_ != nullptr) ::munmap(address_, size_);
  address_ = nullptr;
  size_ = 0;
}

std::string errno_text(int code) {
  std::array<char, 128> buffer{};
  return ::strerror_r(code, buffer.data(), buffer.size());
}

std::unexpected<Error> fail_errno(std::string_view what) {
  const int code = errno;
  return fail(code, fmt::format("{}: {}", what, errno_text(code)));
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  std::string text;
  std::array<char, 65536> chunk;  // NOLINT: filled by read
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(path);
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > limit)
      return fail(EFBIG, fmt::format("{}: larger than {} bytes", path, limit));
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace skep
