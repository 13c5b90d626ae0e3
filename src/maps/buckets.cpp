// See buckets.hpp.
#include "maps/buckets.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "base/rcu.hpp"

namespace skep::maps {
namespace {

constexpr u64 huge_page = u64{2} << 20;
/// Elements for each bucket in a full map: one in forty buckets then goes on in another one.
constexpr u32 usual_elements = 7;

}  // namespace

/// A bucket that readers may still be in.
struct BucketTable::Gone {
  std::shared_ptr<BucketTable> table;
  u32 index;
};

Result<std::shared_ptr<BucketTable>> BucketTable::create(u32 entries) {
  const u32 count = entries / usual_elements + 1;
  // In the worst case elements with one hash fill buckets in a row, and others have gone elsewhere since.
  const u32 capacity = std::min(2 * count + std::max(entries, 4096u), 0x7fffffffu);
  const u64 size = u64{capacity} * sizeof(Bucket);
  const bool large = u64{count} * sizeof(Bucket) >= huge_page / 4;
  const u64 align = large ? huge_page : sizeof(Bucket);
  auto memory = TRY(Mapping::map(size + align, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "buckets"));
  if (large) ::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  const u64 start = reinterpret_cast<u64>(memory.data());
  auto* buckets = reinterpret_cast<Bucket*>((start + align - 1) / align * align);
  return std::shared_ptr<BucketTable>(new BucketTable(std::move(memory), buckets, count, capacity));
}

u32 BucketTable::more() noexcept {
  const std::lock_guard lock(mutex_);
  if (!free_.empty()) {
    const u32 index = free_.back();
    free_.pop_back();
    return index;
  }
  return used_ < capacity_ ? used_++ : 0;
}

BucketTable::Way BucketTable::free_way_behind(Bucket& first) noexcept {
  Bucket* bucket = &first;
  for (;;) {
    const Bucket::Tags tags = bucket->tags();
    if (const u32 free = tags.match(0); free != 0) return {bucket, static_cast<u32>(std::countr_zero(free))};
    if (tags.next() == 0) break;
    bucket = &at(tags.next());
  }
  const u32 index = more();
  if (index == 0) return {};
  at(index).clear();
  bucket->set_next(index);
  return {&at(index), 0};
}

/// Of a bucket where `first` goes on: if nothing is left in it, it goes.
void BucketTable::emptied(Bucket& first, Way way) noexcept {
  if (!way.bucket->tags().empty()) return;
  const auto index = static_cast<u32>(way.bucket - buckets_);
  // Where one bucket was not enough it will not be again; were it given back each time, more would wait for
  // readers than there are.
  if (first.tags().next() == index) return;
  Bucket* before = &first;
  while (before->tags().next() != index) before = &at(before->tags().next());
  before->set_next(way.bucket->tags().next());
  rcu::defer(new Gone{shared_from_this(), index}, [](void* what) {
    const std::unique_ptr<Gone> gone(static_cast<Gone*>(what));
    const std::lock_guard lock(gone->table->mutex_);
    gone->table->free_.push_back(gone->index);
  });
}

}  // namespace skep::maps
