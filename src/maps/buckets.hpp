// The table of a hash map: buckets of one cache line, each with the tags (8 bits of the hash) and the numbers
// of up to twelve elements. So a lookup touches one line here, finds the tag with a few instructions and
// without a branch that depends on what is in the bucket, and touches one element, nearly always the right
// one. A bucket that is full goes on in another one.
//
// Readers take no locks. An element's number stands in its way before its tag does; a tag is removed first. A
// number may be replaced by another one of the same key at any time.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>
#include <vector>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/fd.hpp"
#include "base/result.hpp"
#include "maps/spin.hpp"

namespace skep::maps {

class Bucket {
 public:
  static constexpr u32 ways = 12;
  static constexpr u32 all_ways = (1u << ways) - 1;

  /// Never 0, which marks free ways.
  static u8 tag_of(u32 hash) {
    const auto low = static_cast<u8>(hash);
    return low != 0 ? low : 1;
  }

  /// The tags and the bucket's state, read once.
  struct Tags {
    u64 low, high;
    /// A bit for each way with the tag.
    [[nodiscard]] u32 match(u8 tag) const;
    /// Where the bucket goes on: a number of the table, 0: nowhere.
    [[nodiscard]] u32 next() const { return static_cast<u32>(high >> 33); }
    [[nodiscard]] bool empty() const { return low == 0 && static_cast<u32>(high) == 0; }
  };
  [[nodiscard, gnu::always_inline]] Tags tags() const {
    const u64 low = low_.load(std::memory_order_acquire);
    return {low, high_.load(std::memory_order_acquire)};
  }
  [[nodiscard]] u32 element(u32 way) const { return element_[way].load(std::memory_order_acquire); }

  // Under the lock of the first bucket, or alone.

  void set_element(u32 way, u32 element) { element_[way].store(element, std::memory_order_release); }
  void set_tag(u32 way, u8 tag) {
    std::atomic<u64>& word = way < 8 ? low_ : high_;
    const u32 shift = way % 8 * 8;
    const u64 others = word.load(std::memory_order_relaxed) & ~(u64{0xff} << shift);
    word.store(others | u64{tag} << shift, std::memory_order_release);
  }
  void set_next(u32 next) {
    const u64 rest = high_.load(std::memory_order_relaxed) & ((u64{1} << 33) - 1);
    high_.store(rest | u64{next} << 33, std::memory_order_release);
  }
  void clear() {
    low_.store(0, std::memory_order_relaxed);
    high_.store(0, std::memory_order_relaxed);
  }

  void lock() noexcept {
    for (Backoff backoff; (high_.fetch_or(locked, std::memory_order_acquire) & locked) != 0;) do
        backoff.wait();
      while ((high_.load(std::memory_order_relaxed) & locked) != 0);
  }
  void unlock() noexcept {
    high_.store(high_.load(std::memory_order_relaxed) & ~locked, std::memory_order_release);
  }

 private:
  static constexpr u64 locked = u64{1} << 32;
  alignas(64) std::atomic<u64> low_;  ///< tags of ways 0 to 7
  /// Tags of ways 8 to 11, the lock's bit, 31 bits of next(). A word that is locked is changed by its holder
  /// only: who else wants the lock sets a bit that is set.
  std::atomic<u64> high_;
  std::array<std::atomic<u32>, ways> element_;
};
static_assert(sizeof(Bucket) == 64);

[[gnu::always_inline]] inline u32 Bucket::Tags::match(u8 tag) const {
#if defined(__SSE2__)
  // By way of registers, whatever the compiler thinks of it: through memory, narrow stores would be read
  // again as a wide word, which waits until all stores before them are done.
  u64 words[2] = {low, high};
  u32 four = 0x01010101u * tag;
  asm("" : "+r"(words[0]), "+r"(words[1]), "+r"(four));
  const __m128i all = _mm_unpacklo_epi64(_mm_cvtsi64_si128(static_cast<s64>(words[0])),
                                         _mm_cvtsi64_si128(static_cast<s64>(words[1])));
  const __m128i wanted = _mm_shuffle_epi32(_mm_cvtsi32_si128(static_cast<s32>(four)), 0);
  return static_cast<u32>(_mm_movemask_epi8(_mm_cmpeq_epi8(all, wanted))) & all_ways;
#else
  const auto zero_bytes = [](u64 word) {  // a bit for each byte that is zero
    constexpr u64 low7 = 0x7f7f7f7f7f7f7f7f;
    const u64 tops = ~(((word & low7) + low7) | word | low7);
    return static_cast<u32>((tops >> 7) * 0x0102040810204080 >> 56);
  };
  const u64 wanted = 0x0101010101010101 * u64{tag};
  return (zero_bytes(low ^ wanted) | zero_bytes(high ^ wanted) << 8) & all_ways;
#endif
}

/// The buckets of a map, and those where full ones go on.
class BucketTable : public std::enable_shared_from_this<BucketTable> {
 public:
  /// For about `entries` elements. ENOMEM.
  static Result<std::shared_ptr<BucketTable>> create(u32 entries);

  /// Buckets where elements begin to be looked for: those from 0 on.
  [[nodiscard]] u32 count() const { return count_; }
  [[nodiscard]] u32 index_of(u32 hash) const { return static_cast<u32>(u64{hash} * count_ >> 32); }
  [[nodiscard]] Bucket& at(u32 index) const { return buckets_[index]; }

  /// A way of element's own.
  struct Way {
    Bucket* bucket = nullptr;
    u32 way = 0;
    explicit operator bool() const { return bucket != nullptr; }
  };
  // Under the lock of `first`, or alone.

  /// A free way at the bucket or behind it. None: no memory.
  Way free_way(Bucket& first) noexcept {
    const u32 free = first.tags().match(0);
    return free != 0 ? Way{&first, static_cast<u32>(std::countr_zero(free))} : free_way_behind(first);
  }
  /// Puts an element where free_way() says.
  static void put(Way at, u32 element, u8 tag) {
    at.bucket->set_element(at.way, element);
    at.bucket->set_tag(at.way, tag);
  }
  /// Takes it out. Of the buckets where `first` goes on, all but the nearest one go when they are empty.
  void clear(Bucket& first, Way at) noexcept {
    at.bucket->set_tag(at.way, 0);
    if (at.bucket != &first) [[unlikely]]
      emptied(first, at);
  }

 private:
  struct Gone;
  BucketTable(Mapping memory, Bucket* buckets, u32 count, u32 capacity)
      : memory_(std::move(memory)), buckets_(buckets), count_(count), capacity_(capacity), used_(count) {}
  u32 more() noexcept;
  Way free_way_behind(Bucket& first) noexcept;
  void emptied(Bucket& first, Way at) noexcept;

  Mapping memory_;
  Bucket* buckets_;
  u32 count_;
  u32 capacity_;
  std::mutex mutex_;  ///< of what follows
  u32 used_;          ///< buckets that were ever used
  std::vector<u32> free_;
};

}  // namespace skep::maps
