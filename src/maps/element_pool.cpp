// See element_pool.hpp.
#include "maps/element_pool.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace skep::maps {
namespace {

constexpr u64 line = 64;
constexpr u64 huge_page = u64{2} << 20;

/// From one record to the next.
u64 stride_of(u64 record) {
  if (record <= line) return std::bit_ceil(std::max<u64>(record, 8));
  const u64 whole_lines = (record + line - 1) / line * line;
  return whole_lines * 4 <= record * 5 ? whole_lines : (record + 15) / 16 * 16;
}

}  // namespace

struct ElementPool::Deferred {
  std::shared_ptr<ElementPool> pool;
  u32 element;
};

ElementPool::ElementPool(Mapping memory, std::byte* keys, u64 stride, u64 capacity, u32 limit)
    : memory_(std::move(memory)),
      keys_(keys),
      stride_(stride),
      capacity_(capacity),
      limit_(limit),
      batch_(static_cast<u32>(std::clamp<u64>((u64{1} << 20) / stride, 1, batch_most))),
      left_(limit) {}

Result<std::shared_ptr<ElementPool>> ElementPool::create(u64 before, u64 size, u32 limit, bool no_more) {
  constexpr u64 most_bytes = u64{1} << 40, spare_bytes = u64{4} << 30, spare_most = 1 << 20,
                spare_least = 4096;
  const u64 stride = stride_of(before + size);
  const u64 spare = no_more ? 0 : std::min(spare_most, spare_bytes / stride) + spare_least;
  if (stride > most_bytes / limit) return fail(ENOMEM, "the elements need more than a terabyte");
  const u64 capacity = std::min(u64{limit} + spare, most_bytes / stride);
  // The first record stands so that its key is far enough from the start for the kernel's header, which is
  // never touched but for `before`.
  const bool large = stride * limit >= huge_page / 2;
  const u64 lead = large ? huge_page : line;
  auto memory = TRY(Mapping::map(capacity * stride + 2 * lead, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "elements"));
  const u64 start = reinterpret_cast<u64>(memory.data());
  std::byte* first = memory.data() + ((start + lead + lead - 1) / lead * lead - start);
  if (large) ::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  return std::shared_ptr<ElementPool>(
      new ElementPool(std::move(memory), first + before, stride, capacity, limit));
}

ElementPool::~ElementPool() {  // the map is gone, and with it every reader
  for (const auto& slot : lanes_) {
    const std::unique_ptr<Lane> lane(slot.load(std::memory_order_acquire));
    if (lane == nullptr) continue;
    empty(lane->limbo);
    for (u32 i = 0; i < lane->waiting; ++i) empty(lane->closed[(lane->first + i) % lane->closed.size()]);
  }
  for (const Batch& batch : waiting_) empty(batch);
  if (unprepare_)
    for (u64 i = 0; i < touched_; ++i) unprepare_(key(static_cast<u32>(i)));
}

ElementPool::Lane& ElementPool::lane(u32 slot) noexcept {
  Lane* lane = lanes_[slot].load(std::memory_order_relaxed);
  if (lane == nullptr) [[unlikely]] {
    lane = new Lane;
    lanes_[slot].store(lane, std::memory_order_release);
  }
  return *lane;
}

bool ElementPool::take_shared_room(Lane& lane) noexcept {
  s64 left = left_.load(std::memory_order_relaxed);
  for (;;) {
    if (left <= 0) return false;
    const u32 step = left >= credit_from ? credit_step : 1;
    if (!left_.compare_exchange_weak(left, left - step, std::memory_order_relaxed)) continue;
    lane.credit.store(step - 1, std::memory_order_relaxed);
    return true;
  }
}

/// Where little is left lanes keep none.
void ElementPool::give_shared_room(Lane& lane, u32 credit) noexcept {
  const bool little = left_.load(std::memory_order_relaxed) < credit_from;
  const u32 given = little ? credit : std::min(credit, credit_step);
  lane.credit.store(credit - given, std::memory_order_relaxed);
  left_.fetch_add(given, std::memory_order_relaxed);
}

bool ElementPool::others_have_room() const noexcept {
  for (const auto& slot : lanes_)
    if (const Lane* lane = slot.load(std::memory_order_acquire);
        lane != nullptr && lane->credit.load(std::memory_order_relaxed) != 0)
      return true;
  return left_.load(std::memory_order_relaxed) > 0;
}

void ElementPool::collect_room() noexcept {
  for (const auto& slot : lanes_)
    if (Lane* lane = slot.load(std::memory_order_acquire); lane != nullptr)
      left_.fetch_add(lane->credit.exchange(0, std::memory_order_relaxed), std::memory_order_relaxed);
}

u64 ElementPool::count() const noexcept {
  s64 left = left_.load(std::memory_order_relaxed);
  for (const auto& slot : lanes_)
    if (const Lane* lane = slot.load(std::memory_order_acquire); lane != nullptr)
      left += lane->credit.load(std::memory_order_relaxed);
  return static_cast<u64>(std::max<s64>(0, limit_ - left));
}

void ElementPool::empty(const Batch& batch) noexcept {
  if (!destroy_) return;
  for (u32 i = 0; i < batch.count; ++i) destroy_(key(batch.elements[i]));
}

/// The batch's elements are free, for the lane that has none.
void ElementPool::refill(Lane& lane, const Batch& over) noexcept {
  empty(over);
  std::copy_n(over.elements.begin(), over.count, lane.free.begin());
  lane.free_count = over.count;
}

u32 ElementPool::allocate_shared(Lane& lane) noexcept {
  if (lane.waiting != 0 && rcu::grace_over(lane.closed[lane.first].grace)) {
    refill(lane, lane.closed[lane.first]);
    lane.first = (lane.first + 1) % static_cast<u32>(lane.closed.size());
    --lane.waiting;
    return lane.free[--lane.free_count];
  }
  const std::lock_guard lock(mutex_);
  if (!waiting_.empty() && rcu::grace_over(waiting_.front().grace)) {
    refill(lane, waiting_.front());
    waiting_.pop_front();
  }
  const u32 wanted = prepare_ ? 1 : (batch_ + 1) / 2;
  while (lane.free_count < wanted && !free_.empty()) {
    lane.free[lane.free_count++] = free_.back();
    free_.pop_back();
  }
  if (lane.free_count == 0) {  // in the order of their places
    const auto more = static_cast<u32>(std::min<u64>(wanted, capacity_ - touched_));
    for (u32 i = 0; i < more; ++i) lane.free[more - 1 - i] = static_cast<u32>(touched_ + i);
    if (prepare_ && more != 0 && !prepare_(key(lane.free[0]))) return none;
    touched_ += more;
    lane.free_count = more;
  }
  return lane.free_count == 0 ? none : lane.free[--lane.free_count];
}

void ElementPool::give_back(Lane& lane, u32 element) noexcept {
  if (lane.free_count < lane.free.size()) {
    lane.free[lane.free_count++] = element;
    return;
  }
  const std::lock_guard lock(mutex_);
  free_.push_back(element);
}

/// The lane's batch begins to wait. A thread that only removes hands on its oldest one when all sixteen wait.
void ElementPool::close(Lane& lane) noexcept {
  if (at_once_) {
    for (u32 i = 0; i < lane.limbo.count; ++i)
      rcu::defer(new Deferred{shared_from_this(), lane.limbo.elements[i]}, reclaim);
    lane.limbo.count = 0;
    return;
  }
  const auto size = static_cast<u32>(lane.closed.size());
  if (lane.waiting == size) {
    const Batch& oldest = lane.closed[lane.first];
    const std::lock_guard lock(mutex_);
    if (rcu::grace_over(oldest.grace)) {
      empty(oldest);
      free_.insert(free_.end(), oldest.elements.begin(), oldest.elements.begin() + oldest.count);
    } else {
      waiting_.push_back(oldest);
    }
    lane.first = (lane.first + 1) % size;
    --lane.waiting;
  }
  Batch& last = lane.closed[(lane.first + lane.waiting++) % size];
  last = lane.limbo;
  last.grace = rcu::begin_grace();
  lane.limbo.count = 0;
}

void ElementPool::reclaim(void* what) {
  const std::unique_ptr<Deferred> deferred(static_cast<Deferred*>(what));
  ElementPool& pool = *deferred->pool;
  pool.destroy(deferred->element);
  const std::lock_guard lock(pool.mutex_);
  pool.free_.push_back(deferred->element);
}

}  // namespace skep::maps
