// The hash maps: buckets of singly linked elements. Readers walk without locks; writers lock the bucket, and
// replace an element rather than change it, so that a reader's value stays whole (kernel/bpf/hashtab.c). An
// element is hash_elem_header bytes, the key rounded up to 8, the value: rewritten code adds to the element
// that fn_htab_map_lookup_elem returns. Per-CPU values stand in the per-CPU area, the element holds CPU 0's
// address; they are changed in place. The values of a hash_of_maps are the maps' addresses.
//
// The elements of LRU maps are taken and given back without waiting for readers, as in the kernel: a reader
// may find its element in another bucket's chain (find() notices and starts again), and the value behind a
// pointer may become another key's.
#pragma once
#include <sched.h>

#include <atomic>

#include "maps/element_pool.hpp"
#include "maps/hash_probe.hpp"
#include "maps/key_hash.hpp"
#include "maps/lru.hpp"
#include "maps/map.hpp"
#include "maps/value_copy.hpp"

namespace skep::maps {

class HashMap final : public Map {
 public:
  static Result<MapRef> make(const MapSpec& spec, const Environment& environment);
  ~HashMap() override;

  std::byte* lookup(const std::byte* key, u32 cpu) noexcept override;
  int update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept override;
  int remove(const std::byte* key) noexcept override { return take(key, nullptr); }
  s64 for_each(Visit visit, void* argument, u32 cpu) noexcept override;
  /// The element of `key`, or nullptr: what the kernel's __htab_map_lookup_elem() returns.
  std::byte* lookup_element(const std::byte* key) noexcept;
  /// How machine code finds elements by itself.
  [[nodiscard]] HashProbe probe() const;

  void set_value_type(const btf::ObjectType& type) override;
  [[nodiscard]] u32 user_value_size() const override;
  [[nodiscard]] u64 memlock() const override;

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override;
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;
  int take(const std::byte* key, std::byte* value) noexcept override;
  void on_user_release() noexcept override;
  [[nodiscard]] bool has_batch(Batch) const override { return true; }
  Result<BatchResult> walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                 u32 max_count, bool and_delete) override;

 private:
  struct Element {
    std::atomic<Element*> next{nullptr};
    u64 link = 0;  ///< ElementPool::link_offset
    LruNode lru;
    std::atomic<u32> hash{0};
  };
  static_assert(sizeof(Element) <= hash_elem_header && offsetof(Element, link) == ElementPool::link_offset);
  /// The first element; the lowest bit is a lock.
  class Bucket {
   public:
    [[nodiscard]] Element* first() const {
      return reinterpret_cast<Element*>(word_.load(std::memory_order_acquire) & ~locked);
    }
    /// Under the lock.
    void set_first(Element* element) {
      word_.store(reinterpret_cast<u64>(element) | locked, std::memory_order_release);
    }
    void lock() noexcept {
      for (u32 spins = 0;;) {
        u64 word = word_.load(std::memory_order_relaxed);
        if ((word & locked) == 0 &&
            word_.compare_exchange_weak(word, word | locked, std::memory_order_acquire,
                                        std::memory_order_relaxed))
          return;
        if (++spins % 128 == 0) ::sched_yield();
      }
    }
    void unlock() noexcept {
      word_.store(word_.load(std::memory_order_relaxed) & ~locked, std::memory_order_release);
    }

   private:
    static constexpr u64 locked = 1;
    std::atomic<u64> word_;
  };
  /// In a hash_of_maps: what rewritten code loads, and the reference that keeps it.
  struct InnerMap {
    Map* address = nullptr;
    MapRef keep;
  };
  /// Who writes a per-CPU value: one CPU's own, or bpf(2) with one for each CPU.
  struct Writer {
    bool all_cpus = false;
    u32 cpu = 0;
  };

  HashMap(const MapSpec& spec, const Environment& environment, std::shared_ptr<ElementPool> pool,
          Mapping buckets, u32 count);
  Result<void> make_lru();

  [[nodiscard]] bool percpu() const { return percpu_; }
  [[nodiscard]] bool of_maps() const { return facts_.type == MapType::hash_of_maps; }
  [[nodiscard]] u64 value_offset() const { return hash_elem_header + round_up8(facts_.key_size); }
  static std::byte* bytes(Element* element) { return reinterpret_cast<std::byte*>(element); }
  static std::byte* key_of(Element* element) { return bytes(element) + hash_elem_header; }
  std::byte* value_of(Element* element) const { return bytes(element) + value_offset(); }
  std::byte* percpu_value(Element* element) const { return load<std::byte*>(value_of(element)); }

  [[nodiscard]] u32 hash_of(const std::byte* key) const { return hash_key(key, facts_.key_size, seed_); }
  Bucket& bucket(u32 hash) const { return buckets()[hash & (bucket_count_ - 1)]; }
  Bucket* buckets() const { return reinterpret_cast<Bucket*>(memory_.data()); }
  /// The place of an element: in a bucket, behind another one (nullptr: the first).
  struct Place {
    Bucket* in;
    Element* previous;
    Element* element;
  };
  /// Under RCU or the bucket's lock. `key_size` is the map's, or 0 (which is slower).
  template <u32 key_size>
  Place find(Bucket& in, u32 hash, const std::byte* key) const;
  Place find(Bucket& in, u32 hash, const std::byte* key) const { return find<0>(in, hash, key); }
  /// Under the bucket's lock.
  static void set_next(const Place& place, Element* next);
  template <u32 key_size>
  int insert_or_replace(const std::byte* key, const std::byte* value, u64 flags, Writer writer) noexcept;
  int insert_or_replace(const std::byte* key, const std::byte* value, u64 flags, Writer writer) noexcept;
  void write_percpu(Element* element, const std::byte* value, Writer writer) const;
  Element* new_element(u32 hash, const std::byte* key) noexcept;
  Element* take_lru(u32 hash, const std::byte* key, u32 cpu) noexcept;
  static bool unlink_lru(void* map, LruNode* node);
  static LruNode& lru_node(Element* element) { return element->lru; }
  void fill(Element* fresh, const std::byte* value, Writer writer) const;
  void free_element_value(Element* element) const noexcept;
  /// After it is unlinked.
  void let_go(Element* element) noexcept;
  /// 0 and what goes into the map; the errno of a descriptor that may not.
  int resolve_inner(const std::byte* value, InnerMap& inner) const;
  int check_update(const Element* old, u64 flags) const;
  void read_value(Element* element, std::byte* value) const;
  Result<u32> copy_bucket(u32 index, MutBytes keys, MutBytes values, u32 at, u32 max_count, bool and_delete);

  PercpuArea& area_;
  Objects* objects_;
  std::unique_ptr<Lru> lru_;
  std::byte* lru_values_ = nullptr;  ///< per-CPU values of an LRU's elements, in one piece
  bool percpu_;
  std::shared_ptr<ElementPool> pool_;
  Mapping memory_;
  u32 bucket_count_;
  HashSeed seed_;
  std::atomic<u32> count_{0};
};

}  // namespace skep::maps
