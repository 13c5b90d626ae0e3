// Memory that machine code runs from. Nothing is ever writable and executable at one address: a program's own
// pages are writable while they are filled and executable afterwards; a pool's are executable only, and are
// filled through their file. Code lies near the helpers so that calls reach them directly.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bytes.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"

namespace skep::jit {

struct Plan;

/// Pages that the code of many programs shares, so that loading one takes a write and no mapping.
/// Thread-safe.
class CodePool {
 public:
  CodePool();
  ~CodePool();
  /// Where programs of the pool are entered directly by others of it.
  struct Target {
    u64 tail_entry = 0, body = 0;
    u32 frame = 0;  ///< Emitted::frame
  };
  /// From now until withdraw(): the program whose tail entry that is can be jumped to.
  void publish(const Target& target);
  void withdraw(u64 tail_entry);
  [[nodiscard]] std::optional<Target> target(u64 tail_entry);
  /// A plan to fill: the memory of an earlier one where there is one, so that compiling one program after the
  /// other takes no new pages. To be kept() afterwards.
  std::unique_ptr<Plan> plan();
  void keep(std::unique_ptr<Plan> plan);

 private:
  friend class CodeMemory;
  struct Region {
    UniqueFd file;
    Mapping code;                             ///< readable and executable
    std::map<std::size_t, std::size_t> free;  ///< size by offset; neighbours are one
  };
  struct Block {
    Region* region = nullptr;
    std::size_t offset = 0, size = 0;
  };
  static constexpr std::size_t region_bytes = std::size_t{4} << 20;
  static constexpr std::size_t grain = 64;

  /// What memfd_create, ftruncate and mmap answer.
  Result<Block> take(std::size_t bytes, const void* near);
  void give_back(const Block& block);
  Result<void> write(const Block& block, std::size_t offset, ByteView bytes);
  void replace(const Block& block, std::size_t offset, u32 value) noexcept;

  /// Plans of longer programs are not kept: they are rare, and their memory is large.
  static constexpr std::size_t longest_kept = std::size_t{64} << 10;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Region>> regions_;
  std::unordered_map<u64, Target> targets_;  ///< by tail entry
  std::unique_ptr<Plan> spare_;
};

class CodeMemory {
 public:
  CodeMemory() = default;
  CodeMemory(CodeMemory&& other) noexcept;
  CodeMemory& operator=(CodeMemory&& other) noexcept;
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;
  ~CodeMemory();

  /// Reserves address space for `bytes`, inaccessible for now, within a call's reach of `near` where there is
  /// room (x86-64: 2 GiB, arm64: 128 MiB). ENOMEM as mmap has it.
  static Result<CodeMemory> reserve(std::size_t bytes, const void* near);
  /// The same out of a pool.
  static Result<CodeMemory> from(std::shared_ptr<CodePool> pool, std::size_t bytes, const void* near);
  /// Copies the code in, makes it executable and gives back pages beyond it. Once only.
  Result<void> seal(ByteView code);
  /// Replaces the four bytes at `offset` of code in a pool, a multiple of four, while it may be running: who
  /// runs it sees the old or the new ones (x86-64).
  void replace(u32 offset, u32 value) noexcept;

  /// Where tail calls may enter directly, and leave; null: not out of a pool.
  [[nodiscard]] CodePool* pool() const { return pool_.get(); }
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
  std::shared_ptr<CodePool> pool_;  ///< if the memory is a block of one
  CodePool::Block block_;
};

}  // namespace skep::jit
