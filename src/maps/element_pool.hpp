// The elements of a hash. A removed element is seen by readers until they are quiescent, so it is reused or
// freed a grace period later; whole batches of them wait at once, because waiting costs more than removing.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/types.hpp"
#include "maps/percpu.hpp"

namespace skep::maps {

class ElementPool : public std::enable_shared_from_this<ElementPool> {
 public:
  /// Elements of `size` bytes, 8-aligned. `preallocate`: how many have their place from the start (their
  /// memory is taken from the system as they are touched); others come from malloc. ENOMEM.
  static Result<std::shared_ptr<ElementPool>> create(u64 size, u64 preallocate);
  ~ElementPool();

  /// Memory with unspecified content, or nullptr.
  std::byte* allocate() noexcept;
  /// An element that no reader can have seen.
  void give_back(std::byte* element) noexcept;
  /// What allocate() gave, before anything was put into it.
  void discard(std::byte* memory) noexcept;
  /// An element that readers may still see; it must be unlinked.
  void retire(std::byte* element) noexcept;
  /// Each element holds, at `offset`, CPU 0's address of `bytes` per-CPU bytes, which go back to `area` with
  /// it.
  void own_percpu(PercpuArea* area, u64 offset, u64 bytes) {
    area_ = area;
    percpu_offset_ = offset;
    percpu_bytes_ = bytes;
  }
  /// What stands at `offset` of each element is destroyed with it.
  void own(u64 offset, std::function<void(std::byte* what)> destroy) {
    owned_offset_ = offset;
    destroy_ = std::move(destroy);
  }

 private:
  ElementPool(u64 size, u64 count, Mapping slab) : size_(size), count_(count), slab_(std::move(slab)) {}
  struct Batch;
  static void reclaim_batch(void* batch);
  bool from_slab(const std::byte* element) const;

  u64 size_;
  u64 count_;
  Mapping slab_;
  std::mutex mutex_;
  u64 touched_ = 0;               ///< slab elements handed out at least once
  std::vector<std::byte*> free_;  ///< of the slab
  std::vector<std::byte*> limbo_;
  PercpuArea* area_ = nullptr;
  u64 percpu_offset_ = 0;
  u64 percpu_bytes_ = 0;
  u64 owned_offset_ = 0;
  std::function<void(std::byte* what)> destroy_;
};

}  // namespace skep::maps
