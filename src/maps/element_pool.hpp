// Elements of a hash map: memory for each, and how many there may be. An element is a number; its key stands
// at a place computed from it, the value behind the key. Elements that readers may still see are reused only
// after a grace period.
//
// All elements stand in one range of addresses, which is reserved for more than the map may hold: for those
// that wait to be reused. The system gives memory as elements are touched, in huge pages where there are
// many. A record (what the map keeps before the key, key, value) is placed so that a short one is in one
// cache line.
//
// Each writer (WriterGate's slots) has a lane of its own, which it uses without locks: free elements, retired
// ones in batches that become free when their grace period is over, and a credit of elements that it may
// still add. What a lane has too many of goes to the shared lists.
#pragma once
#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "maps/writer_gate.hpp"

namespace skep::maps {

class ElementPool : public std::enable_shared_from_this<ElementPool> {
 public:
  static constexpr u32 none = ~0u;
  static constexpr u32 batch_most = 64;
  /// A writer's own; WriterGate lets only one thread at it.
  struct Lane;

  /// `before` (at most 48, a multiple of 8) bytes in front of each key are the map's, `size` bytes from the
  /// key on. At most `limit` elements have room() at a time; where all are needed at once (`no_more`), none
  /// is reserved beyond these. ENOMEM.
  static Result<std::shared_ptr<ElementPool>> create(u64 before, u64 size, u32 limit, bool no_more);
  ~ElementPool();

  [[nodiscard]] std::byte* key(u32 element) const { return keys_ + u64{element} * stride_; }
  [[nodiscard]] std::byte* keys() const { return keys_; }
  [[nodiscard]] u64 stride() const { return stride_; }

  Lane& lane(u32 slot) noexcept;
  /// nullptr: the writer has none yet.
  [[nodiscard]] Lane* lane_if_any(u32 slot) const noexcept {
    return lanes_[slot].load(std::memory_order_relaxed);
  }

  /// Counts one element more, or says that the map is full; other lanes may still have credit.
  bool take_room(Lane& lane) noexcept;
  void give_room(Lane& lane) noexcept;
  [[nodiscard]] bool others_have_room() const noexcept;
  /// While nobody writes: all credit is everybody's again.
  void collect_room() noexcept;
  /// How many have room. Exact while nobody writes.
  [[nodiscard]] u64 count() const noexcept;

  /// An element with unspecified content (zeros where nobody had it yet), or none: no more memory.
  u32 allocate(Lane& lane) noexcept;
  /// An element that no reader can have seen.
  void give_back(Lane& lane, u32 element) noexcept;
  /// An element that readers may still see; it must be unlinked.
  void retire(Lane& lane, u32 element) noexcept;
  /// An element that is still in use when the map goes.
  void destroy(u32 element) noexcept {
    if (destroy_) destroy_(key(element));
  }

  /// Called with the key's place of an element before it is handed out for the first time; false: no memory.
  /// `unprepare` is called for each of these when the map is gone.
  void on_first(std::function<bool(std::byte* key)> prepare, std::function<void(std::byte* key)> unprepare) {
    prepare_ = std::move(prepare);
    unprepare_ = std::move(unprepare);
  }
  /// What elements own goes with destroy(), called when no reader sees them any more; `at_once`: soon after a
  /// grace period even if nobody writes to the map any more.
  void own(std::function<void(std::byte* key)> destroy, bool at_once) {
    destroy_ = std::move(destroy);
    at_once_ = at_once;
  }

 private:
  /// Elements that wait for a grace period.
  struct Batch {
    u32 count = 0;
    u64 grace = 0;  ///< rcu::begin_grace()
    std::array<u32, batch_most> elements{};
  };
  struct Deferred;

  ElementPool(Mapping memory, std::byte* keys, u64 stride, u64 capacity, u32 limit);
  static constexpr s64 credit_from = 512;  ///< room left from which lanes take it in advance
  static constexpr u32 credit_step = 32;

  static void reclaim(void* deferred);
  bool take_shared_room(Lane& lane) noexcept;
  void give_shared_room(Lane& lane, u32 credit) noexcept;
  void close(Lane& lane) noexcept;
  u32 allocate_shared(Lane& lane) noexcept;
  void refill(Lane& lane, const Batch& over) noexcept;
  void empty(const Batch& batch) noexcept;

  Mapping memory_;
  std::byte* keys_;
  u64 stride_;
  u64 capacity_;
  u32 limit_;
  u32 batch_;  ///< how many elements go together: fewer of large ones
  bool at_once_ = false;
  std::array<std::atomic<Lane*>, WriterGate::slots> lanes_{};
  std::function<bool(std::byte* key)> prepare_;
  std::function<void(std::byte* key)> unprepare_;
  std::function<void(std::byte* key)> destroy_;
  alignas(64) std::atomic<s64> left_;  ///< room that no lane has
  alignas(64) std::mutex mutex_;       ///< of what follows
  u64 touched_ = 0;                    ///< elements handed out at least once
  std::vector<u32> free_;
  std::deque<Batch> waiting_;  ///< of lanes that had too many, the oldest first
};

struct alignas(64) ElementPool::Lane {
  std::atomic<u32> credit{0};  ///< written by its writer only
  u32 free_count = 0;
  u32 first = 0, waiting = 0;  ///< `waiting` batches of `closed`, from `first` on, in a ring
  std::array<u32, 2 * batch_most> free{};
  Batch limbo;  ///< not full yet
  std::array<Batch, 16> closed{};
};

inline bool ElementPool::take_room(Lane& lane) noexcept {
  const u32 credit = lane.credit.load(std::memory_order_relaxed);
  if (credit == 0) return take_shared_room(lane);
  lane.credit.store(credit - 1, std::memory_order_relaxed);
  return true;
}

inline void ElementPool::give_room(Lane& lane) noexcept {
  const u32 credit = lane.credit.load(std::memory_order_relaxed) + 1;
  if (credit > 2 * credit_step || left_.load(std::memory_order_relaxed) < credit_from)
    return give_shared_room(lane, credit);
  lane.credit.store(credit, std::memory_order_relaxed);
}

inline u32 ElementPool::allocate(Lane& lane) noexcept {
  if (lane.free_count != 0) return lane.free[--lane.free_count];
  return allocate_shared(lane);
}

inline void ElementPool::retire(Lane& lane, u32 element) noexcept {
  lane.limbo.elements[lane.limbo.count++] = element;
  if (lane.limbo.count >= batch_ || at_once_) close(lane);
}

}  // namespace skep::maps
