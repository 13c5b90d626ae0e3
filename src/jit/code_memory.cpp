// Code memory by mmap and mprotect.
#include "jit/code_memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace skep::jit {
namespace {

std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
std::size_t round_to_pages(std::size_t bytes) { return (bytes + page_size() - 1) & ~(page_size() - 1); }

bool reachable(u64 a, u64 b) {
  constexpr u64 limit = (u64{1} << 31) - (u64{1} << 24);  // some room for the code's own length
  return a > b ? a - b < limit : b - a < limit;
}

void* map_at(u64 hint, std::size_t bytes) {
  void* got = mmap(reinterpret_cast<void*>(hint), bytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? nullptr : got;
}

}  // namespace

CodeMemory::CodeMemory(CodeMemory&& other) noexcept { *this = std::move(other); }
CodeMemory& CodeMemory::operator=(CodeMemory&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(reserved_, other.reserved_);
  std::swap(used_, other.used_);
  return *this;
}
CodeMemory::~CodeMemory() {
  if (start_ != nullptr) munmap(start_, reserved_);
}

Result<CodeMemory> CodeMemory::reserve(std::size_t bytes, const void* near) {
  CodeMemory memory;
  memory.reserved_ = round_to_pages(bytes + before);
  const u64 wanted = reinterpret_cast<u64>(near);
  // Without MAP_FIXED the kernel takes a hint that is free and goes elsewhere otherwise.
  for (u64 distance = u64{64} << 20; distance < (u64{1} << 31) && memory.start_ == nullptr; distance *= 2) {
    if (wanted <= distance) break;
    const u64 hint = (wanted - distance) & ~u64{page_size() - 1};
    void* got = map_at(hint, memory.reserved_);
    if (got == nullptr) break;
    if (reachable(reinterpret_cast<u64>(got), wanted))
      memory.start_ = static_cast<std::byte*>(got);
    else
      munmap(got, memory.reserved_);
  }
  if (memory.start_ == nullptr) memory.start_ = static_cast<std::byte*>(map_at(0, memory.reserved_));
  if (memory.start_ == nullptr) {
    const int code = errno;
    memory.reserved_ = 0;
    return fail(code,
                fmt::format("no address space for {} bytes of machine code: {}", bytes, std::strerror(code)));
  }
  return memory;
}

Result<void> CodeMemory::seal(ByteView code) {
  SKEP_ASSERT(used_ == 0 && before + code.size() <= reserved_);
  const std::size_t kept = round_to_pages(before + code.size());
  if (mprotect(start_, kept, PROT_READ | PROT_WRITE) != 0)
    return fail(errno, fmt::format("machine code memory cannot be written: {}", std::strerror(errno)));
  std::memset(start_, 0xcc, kept);  // int3: nothing runs off the end unnoticed
  std::memcpy(start_ + before, code.data(), code.size());
  if (mprotect(start_, kept, PROT_READ | PROT_EXEC) != 0)
    return fail(errno,
                fmt::format("machine code memory cannot be made executable: {}", std::strerror(errno)));
  if (kept < reserved_) munmap(start_ + kept, reserved_ - kept);
  reserved_ = kept;
  used_ = code.size();
  return {};
}

}  // namespace skep::jit
