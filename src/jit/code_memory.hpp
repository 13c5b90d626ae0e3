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

  [[nodiscard]] u64 base() const { return reinterpret_cast<u64>(start_); }
  [[nodiscard]] std::size_t reserved() const { return reserved_; }
  [[nodiscard]] ByteView code() const { return {start_, used_}; }

 private:
  std::byte* start_ = nullptr;
  std::size_t reserved_ = 0;
  std::size_t used_ = 0;
};

}  // namespace skep::jit
