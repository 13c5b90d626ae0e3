// Memory of a hash map's elements: a slab reserved at once, or malloc(). Elements that readers may still see
// are reused only after a grace period.
//
// Each reader thread (rcu::reader_slot()) has a lane of its own, which it uses without locks: free elements,
// and retired ones in batches that become free when their grace period is over. So elements that were touched
// last are taken first, from the cache. What a lane has too many of goes to the shared list.
#pragma once
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/rcu.hpp"
#include "base/result.hpp"
#include "maps/percpu.hpp"

namespace skep::maps {

class ElementPool : public std::enable_shared_from_this<ElementPool> {
 public:
  /// Elements of `size` bytes, 8-aligned; the eight bytes at `link_offset`, which readers must not look at,
  /// are the pool's from retire() to allocate(). `preallocate`: how many have their place from the start
  /// (their memory is taken from the system as they are touched); others come from malloc. ENOMEM.
  static Result<std::shared_ptr<ElementPool>> create(u64 size, u64 preallocate);
  ~ElementPool();
  static constexpr u64 link_offset = 8;

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
  static constexpr u32 batch_size = 64;
  /// Elements one behind the other, by the words at link_offset.
  struct Chain {
    std::byte* first = nullptr;
    u32 count = 0;
    void push(std::byte* element) noexcept;
    std::byte* pop() noexcept;
  };
  struct Closed {
    Chain elements;
    u64 grace = 0;  ///< rcu::begin_grace()
  };
  struct Lane {
    Chain free;
    Chain limbo;  ///< a batch that is not full
    std::array<Closed, 16> closed{};
    u32 first = 0, waiting = 0;  ///< `waiting` batches of `closed`, from `first` on, in a ring
  };
  struct Deferred;

  ElementPool(u64 size, u64 count, Mapping slab) : size_(size), count_(count), slab_(std::move(slab)) {}
  static void reclaim(void* deferred);
  bool from_slab(const std::byte* element) const;
  /// The calling Reader's; nullptr for others.
  Lane* own_lane() noexcept;
  std::byte* allocate_shared(Lane* lane) noexcept;
  void close(Lane& lane) noexcept;
  void defer(Chain elements) noexcept;
  /// What elements own goes; the memory stays.
  void empty(std::byte* element) noexcept;
  void discard_shared(Chain& elements) noexcept;

  u64 size_;
  u64 count_;
  Mapping slab_;
  std::array<std::unique_ptr<Lane>, rcu::reader_slots> lanes_{};  ///< each used by its thread only
  std::mutex mutex_;                                              ///< of what follows
  u64 touched_ = 0;                                               ///< slab elements handed out at least once
  std::vector<std::byte*> free_;                                  ///< of the slab
  Chain limbo_;                                                   ///< of those who have no lane
  PercpuArea* area_ = nullptr;
  u64 percpu_offset_ = 0;
  u64 percpu_bytes_ = 0;
  u64 owned_offset_ = 0;
  std::function<void(std::byte* what)> destroy_;
};

}  // namespace skep::maps
