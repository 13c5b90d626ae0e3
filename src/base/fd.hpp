// Ownership of file descriptors and memory mappings.
#pragma once
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep {

/// Owns one file descriptor; closes it. -1 owns nothing.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);
  /// dup(2) with close-on-exec.
  [[nodiscard]] Result<UniqueFd> duplicate() const;

 private:
  int fd_ = -1;
};

/// Owns one mmap(2)ed range; unmaps it.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* address, std::size_t size) : address_(address), size_(size) {}
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      address_ = std::exchange(other.address_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Mapping() { reset(); }
  /// mmap(2); the error names `what`.
  static Result<Mapping> map(std::size_t size, int prot, int flags, int fd, s64 offset,
                             std::string_view what);

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(address_); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] MutBytes bytes() const { return {data(), size_}; }
  void reset();

 private:
  void* address_ = nullptr;
  std::size_t size_ = 0;
};

/// errno as an Error: "WHAT: strerror". Call directly after the failing system call.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what);

/// The whole of a file; EFBIG above `limit` bytes. Errors name the path.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit = 512u << 20);

/// strerror(3) as text, thread-safe; 524 is "Unknown error 524" as in glibc.
[[nodiscard]] std::string errno_text(int code);

}  // namespace skep
