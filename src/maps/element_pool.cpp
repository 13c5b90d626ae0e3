// See element_pool.hpp.
#include "maps/element_pool.hpp"

#include <sys/mman.h>

#include <cstdlib>

#include "base/bytes.hpp"
#include "base/rcu.hpp"

namespace skep::maps {

namespace {
constexpr std::size_t batch_size = 64;
}

struct ElementPool::Batch {
  std::shared_ptr<ElementPool> pool;
  std::vector<std::byte*> elements;
};

Result<std::shared_ptr<ElementPool>> ElementPool::create(u64 size, u64 preallocate) {
  Mapping slab;
  if (preallocate != 0) {
    if (size > (u64{1} << 40) / preallocate) return fail(ENOMEM, "the elements need more than a terabyte");
    slab = TRY(Mapping::map(size * preallocate, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "elements"));
  }
  return std::shared_ptr<ElementPool>(new ElementPool(size, preallocate, std::move(slab)));
}

ElementPool::~ElementPool() {
  for (std::byte* element : limbo_) give_back(element);  // the map is gone, and with it every reader
}

bool ElementPool::from_slab(const std::byte* element) const {
  return element >= slab_.data() && element < slab_.data() + slab_.size();
}

std::byte* ElementPool::allocate() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      std::byte* element = free_.back();
      free_.pop_back();
      return element;
    }
    if (touched_ < count_) return slab_.data() + size_ * touched_++;
  }
  return static_cast<std::byte*>(std::malloc(size_));
}

void ElementPool::give_back(std::byte* element) noexcept {
  if (destroy_) destroy_(element + owned_offset_);
  if (area_ != nullptr) area_->release(load<std::byte*>(element + percpu_offset_), percpu_bytes_);
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

void ElementPool::retire(std::byte* element) noexcept {
  std::vector<std::byte*> full;
  {
    const std::lock_guard lock(mutex_);
    limbo_.push_back(element);
    if (limbo_.size() < batch_size) return;
    full.swap(limbo_);
    limbo_.reserve(batch_size);
  }
  rcu::defer(new Batch{shared_from_this(), std::move(full)}, reclaim_batch);
}

void ElementPool::reclaim_batch(void* what) {
  const std::unique_ptr<Batch> batch(static_cast<Batch*>(what));
  for (std::byte* element : batch->elements) batch->pool->give_back(element);
}

}  // namespace skep::maps
