// See percpu.hpp. First fit over a coalescing free list; addresses are reserved at once, memory on use.
#include "maps/percpu.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace skep::maps {
namespace {

constexpr u64 commit_step = u64{1} << 16;

u64 round_up(u64 value, u64 to) { return (value + to - 1) / to * to; }

}  // namespace

Result<std::unique_ptr<PercpuArea>> PercpuArea::create(u32 cpus, u64 stride) {
  if (cpus == 0 || stride == 0 || stride % commit_step != 0)
    return fail(EINVAL, "per-CPU area: needs at least one CPU and a stride in steps of 64 KiB");
  auto mapping = TRY(Mapping::map(cpus * stride, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                                  0, "per-CPU area"));
  return std::unique_ptr<PercpuArea>(new PercpuArea(std::move(mapping), cpus, stride));
}

Result<void> PercpuArea::commit(u64 end) {
  const u64 to = std::min(round_up(end, commit_step), stride_);
  for (u32 cpu = 0; cpu < cpus_ && to > committed_; ++cpu) {
    std::byte* from = mapping_.data() + offset_of(cpu) + committed_;
    if (::mprotect(from, to - committed_, PROT_READ | PROT_WRITE) != 0)
      return fail(ENOMEM, "per-CPU area: the system gives no more memory");
  }
  committed_ = std::max(committed_, to);
  return {};
}

Result<std::byte*> PercpuArea::allocate(u64 size) {
  if (size > stride_) return fail(ENOMEM, "per-CPU area: the allocation is larger than a CPU's area");
  size = round_up(std::max<u64>(size, 8), 8);
  const std::lock_guard lock(mutex_);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < size) continue;
    const u64 offset = it->first;
    const u64 rest = it->second - size;
    free_.erase(it);
    if (rest != 0) free_.emplace(offset + size, rest);
    for (u32 cpu = 0; cpu < cpus_; ++cpu) std::memset(mapping_.data() + offset_of(cpu) + offset, 0, size);
    return mapping_.data() + offset;
  }
  if (size > stride_ - used_) return fail(ENOMEM, "per-CPU area: full");
  if (auto done = commit(used_ + size); !done) return std::unexpected(std::move(done).error());
  std::byte* address = mapping_.data() + used_;
  used_ += size;
  return address;
}

void PercpuArea::release(std::byte* address, u64 size) noexcept {
  size = round_up(std::max<u64>(size, 8), 8);
  const std::lock_guard lock(mutex_);
  u64 offset = static_cast<u64>(address - mapping_.data());
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + size) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      size += before->second;
      free_.erase(before);
    }
  }
  if (offset + size == used_)
    used_ = offset;  // fresh memory must be zero: what lies above is cleared below
  else {
    free_.emplace(offset, size);
    return;
  }
  for (u32 cpu = 0; cpu < cpus_; ++cpu) std::memset(mapping_.data() + offset_of(cpu) + offset, 0, size);
}

}  // namespace skep::maps
