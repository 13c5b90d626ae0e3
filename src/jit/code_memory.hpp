// Memory that machine code runs from. It is writable while it is being filled and executable afterwards,
// never both; it lies near the helpers so that calls reach them directly.
#pragma once
#include <span>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep::jit {

class CodeMemory {
 public:
  CodeMemory() = default;
  CodeMemory(CodeMemory&& other) noexcept;
  CodeMemory& operator=(CodeMemory&& other) noexcept;
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;
  ~CodeMemory();

  /// Reserves address space for `bytes`, inaccessible for now, within 2 GiB of `near` where there is room.
  /// ENOMEM as mmap has it.
  static Result<CodeMemory> reserve(std::size_t bytes, const void* near);
  /// Copies the code in, makes it executable and gives back the pages beyond it. Once only.
  Result<void> seal(ByteView code);

  /// Where the code will stand.
  [[nodiscard]] u64 base() const { return reinterpret_cast<u64>(start_ + before); }
  [[nodiscard]] ByteView code() const { return {start_ + before, used_}; }

 private:
  /// Callers built with clang's -fsanitize=function read a word before the function they call; a cache line,
  /// so that what is aligned within the code is aligned.
  static constexpr std::size_t before = 64;
  std::byte* start_ = nullptr;
  std::size_t reserved_ = 0;
  std::size_t used_ = 0;
};

}  // namespace skep::jit
