// See element_pool.hpp.
#include "maps/element_pool.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#include "base/bytes.hpp"

namespace skep::maps {

namespace {
constexpr u32 refill_size = 32;  ///< free elements that a lane takes from the shared list at once
}  // namespace

struct ElementPool::Deferred {
  std::shared_ptr<ElementPool> pool;
  Chain elements;
};

void ElementPool::Chain::push(std::byte* element) noexcept {
  store(element + link_offset, first);
  first = element;
  ++count;
}

std::byte* ElementPool::Chain::pop() noexcept {
  std::byte* element = first;
  if (element == nullptr) return nullptr;
  first = load<std::byte*>(element + link_offset);
  --count;
  return element;
}

Result<std::shared_ptr<ElementPool>> ElementPool::create(u64 size, u64 preallocate) {
  Mapping slab;
  if (preallocate != 0) {
    if (size > (u64{1} << 40) / preallocate) return fail(ENOMEM, "the elements need more than a terabyte");
    slab = TRY(Mapping::map(size * preallocate, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "elements"));
    // Elements are taken in order, so that a huge page is used as a whole.
    constexpr u64 huge_page = u64{2} << 20;
    if (slab.size() >= huge_page) ::madvise(slab.data(), slab.size(), MADV_HUGEPAGE);
  }
  return std::shared_ptr<ElementPool>(new ElementPool(size, preallocate, std::move(slab)));
}

ElementPool::~ElementPool() {  // the map is gone, and with it every reader
  const auto give_back_all = [&](Chain& chain) {
    while (std::byte* element = chain.pop()) {
      empty(element);
      if (!from_slab(element)) std::free(element);
    }
  };
  give_back_all(limbo_);
  for (const auto& lane : lanes_) {
    if (lane == nullptr) continue;
    give_back_all(lane->limbo);
    for (Closed& closed : lane->closed) give_back_all(closed.elements);
    while (std::byte* memory = lane->free.pop())
      if (!from_slab(memory)) std::free(memory);
  }
}

bool ElementPool::from_slab(const std::byte* element) const {
  return element >= slab_.data() && element < slab_.data() + slab_.size();
}

ElementPool::Lane* ElementPool::own_lane() noexcept {
  const u32 slot = rcu::reader_slot();
  if (slot == rcu::reader_slots) return nullptr;
  if (lanes_[slot] == nullptr) lanes_[slot] = std::make_unique<Lane>();
  return lanes_[slot].get();
}

std::byte* ElementPool::allocate() noexcept {
  Lane* lane = own_lane();
  if (lane == nullptr) return allocate_shared(nullptr);
  if (std::byte* memory = lane->free.pop(); memory != nullptr) return memory;
  if (lane->waiting != 0 && rcu::grace_over(lane->closed[lane->first].grace)) {
    Chain& over = lane->closed[lane->first].elements;
    if (destroy_ || area_ != nullptr)
      for (std::byte* at = over.first; at != nullptr; at = load<std::byte*>(at + link_offset)) empty(at);
    lane->free = std::exchange(over, {});
    lane->first = (lane->first + 1) % static_cast<u32>(lane->closed.size());
    --lane->waiting;
    return lane->free.pop();
  }
  return allocate_shared(lane);
}

std::byte* ElementPool::allocate_shared(Lane* lane) noexcept {
  {
    const std::lock_guard lock(mutex_);
    for (u32 i = 0; !free_.empty() && lane != nullptr && i < refill_size; ++i) {
      lane->free.push(free_.back());
      free_.pop_back();
    }
    if (lane != nullptr && lane->free.first != nullptr) return lane->free.pop();
    if (!free_.empty()) {
      std::byte* element = free_.back();
      free_.pop_back();
      return element;
    }
    if (touched_ < count_) return slab_.data() + size_ * touched_++;
  }
  return static_cast<std::byte*>(std::malloc(size_));
}

void ElementPool::empty(std::byte* element) noexcept {
  if (destroy_) destroy_(element + owned_offset_);
  if (area_ != nullptr) area_->release(load<std::byte*>(element + percpu_offset_), percpu_bytes_);
}

void ElementPool::give_back(std::byte* element) noexcept {
  empty(element);
  discard(element);
}

void ElementPool::discard(std::byte* memory) noexcept {
  if (!from_slab(memory)) {
    std::free(memory);
    return;
  }
  const std::lock_guard lock(mutex_);
  free_.push_back(memory);
}

void ElementPool::discard_shared(Chain& elements) noexcept {
  const std::lock_guard lock(mutex_);
  while (std::byte* memory = elements.pop()) {
    if (from_slab(memory))
      free_.push_back(memory);
    else
      std::free(memory);
  }
}

void ElementPool::retire(std::byte* element) noexcept {
  if (Lane* lane = own_lane(); lane != nullptr) {
    lane->limbo.push(element);
    if (lane->limbo.count == batch_size) close(*lane);
    return;
  }
  Chain full;
  {
    const std::lock_guard lock(mutex_);
    limbo_.push(element);
    if (limbo_.count < batch_size) return;
    full = std::exchange(limbo_, {});
  }
  defer(full);
}

/// The lane's batch begins to wait. The thread only removes where all sixteen wait: the oldest is shared.
void ElementPool::close(Lane& lane) noexcept {
  const auto size = static_cast<u32>(lane.closed.size());
  if (lane.waiting == size) {
    Closed& oldest = lane.closed[lane.first];
    Chain elements = std::exchange(oldest.elements, {});
    if (rcu::grace_over(oldest.grace)) {
      for (std::byte* at = elements.first; at != nullptr; at = load<std::byte*>(at + link_offset)) empty(at);
      discard_shared(elements);
    } else {
      defer(elements);
    }
    lane.first = (lane.first + 1) % size;
    --lane.waiting;
  }
  Closed& last = lane.closed[(lane.first + lane.waiting++) % size];
  last = {std::exchange(lane.limbo, {}), rcu::begin_grace()};
}

void ElementPool::defer(Chain elements) noexcept {
  rcu::defer(new Deferred{shared_from_this(), elements}, reclaim);
}

void ElementPool::reclaim(void* what) {
  const std::unique_ptr<Deferred> deferred(static_cast<Deferred*>(what));
  ElementPool& pool = *deferred->pool;
  for (std::byte* at = deferred->elements.first; at != nullptr; at = load<std::byte*>(at + link_offset))
    pool.empty(at);
  pool.discard_shared(deferred->elements);
}

}  // namespace skep::maps
