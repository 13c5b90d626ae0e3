// Code memory by mmap and mprotect, or by a file that is mapped executable.
#include "jit/code_memory.hpp"

#include <fmt/format.h>
#if defined(__aarch64__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "jit/plan.hpp"

namespace skep::jit {
namespace {

std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
std::size_t round_to_pages(std::size_t bytes) { return (bytes + page_size() - 1) & ~(page_size() - 1); }

#if defined(__aarch64__)
constexpr u64 call_reach = u64{1} << 27;
constexpr std::byte filler{0x00};  ///< udf
#else
constexpr u64 call_reach = u64{1} << 31;
constexpr std::byte filler{0xcc};  ///< int3
#endif

bool reachable(u64 a, u64 b) {
  constexpr u64 limit = call_reach - (u64{1} << 24);  // some room for the code's own length
  return a > b ? a - b < limit : b - a < limit;
}

void* map_at(u64 hint, std::size_t bytes) {
  void* got = mmap(reinterpret_cast<void*>(hint), bytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return got == MAP_FAILED ? nullptr : got;
}

/// Maps within reach of `near` where there is room, else anywhere; nullptr and errno.
template <class Map>
void* map_near(const void* near, std::size_t bytes, Map map) {
  const u64 wanted = reinterpret_cast<u64>(near);
  // Without MAP_FIXED the kernel takes a hint that is free and goes elsewhere otherwise.
  for (u64 distance = u64{64} << 20; distance < call_reach && distance < wanted; distance *= 2) {
    void* got = map((wanted - distance) & ~u64{page_size() - 1}, bytes);
    if (got == nullptr) break;
    if (reachable(reinterpret_cast<u64>(got), wanted)) return got;
    munmap(got, bytes);
  }
  return map(0, bytes);
}

/// Before code runs that was written: on arm64 neither the instruction caches nor what other cores have
/// fetched follow by themselves. For the second there is membarrier's command, since Linux 4.16; qemu-user
/// has none and needs none.
void make_visible([[maybe_unused]] std::byte* code, [[maybe_unused]] std::size_t size) {
#if defined(__aarch64__)
  auto* first = reinterpret_cast<char*>(code);
  __builtin___clear_cache(first, first + size);
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0 || errno != EPERM)
    return;
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
#endif
}

}  // namespace

CodePool::CodePool() = default;
CodePool::~CodePool() = default;

std::unique_ptr<Plan> CodePool::plan() {
  const std::lock_guard lock(mutex_);
  return spare_ != nullptr ? std::move(spare_) : std::make_unique<Plan>();
}
void CodePool::keep(std::unique_ptr<Plan> plan) {
  if (plan->nodes.capacity() > longest_kept) return;
  const std::lock_guard lock(mutex_);
  spare_ = std::move(plan);
}

Result<CodePool::Block> CodePool::take(std::size_t bytes, const void* near) {
  const std::size_t size = (bytes + grain - 1) / grain * grain;
  const std::lock_guard lock(mutex_);
  for (const auto& region : regions_)
    for (auto it = region->free.begin(); it != region->free.end(); ++it) {
      if (it->second < size) continue;
      const Block block{region.get(), it->first, size};
      const std::size_t left = it->second - size;
      region->free.erase(it);
      if (left != 0) region->free.emplace(block.offset + size, left);
      return block;
    }
  auto region = std::make_unique<Region>();
  const std::size_t length = std::max(region_bytes, round_to_pages(size));
  region->file.reset(memfd_create("skep-code", MFD_CLOEXEC));
  if (!region->file || ftruncate(region->file.get(), static_cast<off_t>(length)) != 0)
    return fail_errno("memory for machine code");
  const auto map = [&](u64 hint, std::size_t wanted) -> void* {
    void* got =
        mmap(reinterpret_cast<void*>(hint), wanted, PROT_READ | PROT_EXEC, MAP_SHARED, region->file.get(), 0);
    return got == MAP_FAILED ? nullptr : got;
  };
  void* code = map_near(near, length, map);
  if (code == nullptr) return fail_errno("memory for machine code");
  region->code = Mapping(code, length);
  if (length != size) region->free.emplace(size, length - size);
  regions_.push_back(std::move(region));
  return Block{regions_.back().get(), 0, size};
}

void CodePool::give_back(const Block& block) {
  const std::lock_guard lock(mutex_);
  auto& free = block.region->free;
  const auto it = free.emplace(block.offset, block.size).first;
  if (const auto next = std::next(it); next != free.end() && it->first + it->second == next->first) {
    it->second += next->second;
    free.erase(next);
  }
  if (it == free.begin()) return;
  const auto previous = std::prev(it);
  if (previous->first + previous->second != it->first) return;
  previous->second += it->second;
  free.erase(it);
}

Result<void> CodePool::write(const Block& block, std::size_t offset, ByteView bytes) {
  // A trap around the code: nothing runs off its end unnoticed, nor into what stood here before.
  std::vector<std::byte> filled(block.size, filler);
  std::memcpy(filled.data() + offset, bytes.data(), bytes.size());
  std::size_t done = 0;
  while (done < filled.size()) {
    const ssize_t n = pwrite(block.region->file.get(), filled.data() + done, filled.size() - done,
                             static_cast<off_t>(block.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno("writing machine code");
    done += static_cast<std::size_t>(n);
  }
  std::byte* code = block.region->code.data();
#if defined(__aarch64__)
  // qemu-user before 8.1 translates code once; of what was written through the file it learns by a mapping
  // only.
  const std::size_t first = block.offset & ~(page_size() - 1);
  if (mmap(code + first, round_to_pages(block.offset + block.size) - first, PROT_READ | PROT_EXEC,
           MAP_SHARED | MAP_FIXED, block.region->file.get(), static_cast<off_t>(first)) == MAP_FAILED)
    return fail_errno("mapping machine code");
#endif
  make_visible(code + block.offset, block.size);
  return {};
}

void CodePool::publish(const Target& target) {
  const std::lock_guard lock(mutex_);
  targets_.emplace(target.tail_entry, target);
}
void CodePool::withdraw(u64 tail_entry) {
  const std::lock_guard lock(mutex_);
  targets_.erase(tail_entry);
}
std::optional<CodePool::Target> CodePool::target(u64 tail_entry) {
  const std::lock_guard lock(mutex_);
  const auto it = targets_.find(tail_entry);
  return it == targets_.end() ? std::nullopt : std::optional(it->second);
}

/// In one store, through a mapping of its own that is gone afterwards; where there is no memory for one, by
/// the file, whose four bytes arrive as one where the processor copies words.
void CodePool::replace(const Block& block, std::size_t offset, u32 value) noexcept {
  const std::size_t at = block.offset + offset, page = at & ~(page_size() - 1);
  const int file = block.region->file.get();
  void* writable =
      mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(page));
  if (writable == MAP_FAILED) {
    const ssize_t done = pwrite(file, &value, sizeof value, static_cast<off_t>(at));
    SKEP_ASSERT(done == sizeof value);  // the old distance may lead to a program that is about to go
    return;
  }
  auto* word = reinterpret_cast<u32*>(static_cast<std::byte*>(writable) + (at - page));
  std::atomic_ref(*word).store(value, std::memory_order_release);
  munmap(writable, page_size());
}

CodeMemory::CodeMemory(CodeMemory&& other) noexcept { *this = std::move(other); }
CodeMemory& CodeMemory::operator=(CodeMemory&& other) noexcept {
  std::swap(start_, other.start_);
  std::swap(reserved_, other.reserved_);
  std::swap(used_, other.used_);
  std::swap(pool_, other.pool_);
  std::swap(block_, other.block_);
  return *this;
}
CodeMemory::~CodeMemory() {
  if (pool_ != nullptr)
    pool_->give_back(block_);
  else if (start_ != nullptr)
    munmap(start_, reserved_);
}

Result<CodeMemory> CodeMemory::reserve(std::size_t bytes, const void* near) {
  CodeMemory memory;
  const std::size_t wanted = round_to_pages(bytes + before);
  memory.start_ = static_cast<std::byte*>(map_near(near, wanted, map_at));
  if (memory.start_ == nullptr) {
    const int code = errno;
    return fail(code,
                fmt::format("no address space for {} bytes of machine code: {}", bytes, std::strerror(code)));
  }
  memory.reserved_ = wanted;
  return memory;
}

Result<CodeMemory> CodeMemory::from(std::shared_ptr<CodePool> pool, std::size_t bytes, const void* near) {
  CodeMemory memory;
  memory.block_ = TRY(pool->take(bytes + before, near));
  memory.pool_ = std::move(pool);
  memory.start_ = memory.block_.region->code.data() + memory.block_.offset;
  memory.reserved_ = memory.block_.size;
  return memory;
}

void CodeMemory::replace(u32 offset, u32 value) noexcept {
  SKEP_ASSERT(pool_ != nullptr && offset % 4 == 0);
  if (load<u32>(start_ + before + offset) == value) return;
  pool_->replace(block_, before + offset, value);
}

Result<void> CodeMemory::seal(ByteView code) {
  SKEP_ASSERT(used_ == 0 && before + code.size() <= reserved_);
  if (pool_ != nullptr) {
    used_ = code.size();
    return pool_->write(block_, before, code);
  }
  const std::size_t kept = round_to_pages(before + code.size());
  if (mprotect(start_, kept, PROT_READ | PROT_WRITE) != 0)
    return fail(errno, fmt::format("machine code memory cannot be written: {}", std::strerror(errno)));
  std::memset(start_, static_cast<int>(filler), kept);  // a trap: nothing runs off the end unnoticed
  std::memcpy(start_ + before, code.data(), code.size());
  if (mprotect(start_, kept, PROT_READ | PROT_EXEC) != 0)
    return fail(errno,
                fmt::format("machine code memory cannot be made executable: {}", std::strerror(errno)));
  make_visible(start_, kept);
  if (kept < reserved_) munmap(start_ + kept, reserved_ - kept);
  reserved_ = kept;
  used_ = code.size();
  return {};
}

}  // namespace skep::jit
