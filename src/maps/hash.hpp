// The hash maps: a table of buckets (buckets.hpp) that lead to elements (element_pool.hpp). Readers walk
// without locks; writers lock the bucket, and replace an element rather than change it, so that a reader's
// value stays whole (kernel/bpf/hashtab.c). Rewritten code adds a distance to the element that
// fn_htab_map_lookup_elem returns: its address is hash_elem_header bytes before the key, the value behind the
// key rounded up to 8. But for the mark of use in LRU maps nothing stands in that header, so elements overlap
// there. Per-CPU values stand in the per-CPU area, the element holds CPU 0's address; they are changed in
// place. The values of a hash_of_maps are the maps' addresses.
//
// The elements of LRU maps are taken and given back without waiting for readers, as in the kernel: a reader
// may find another key in an element (find() notices and starts again), and the value behind a pointer may
// become another key's.
#pragma once
#include "maps/buckets.hpp"
#include "maps/element_pool.hpp"
#include "maps/hash_probe.hpp"
#include "maps/key_hash.hpp"
#include "maps/lru.hpp"
#include "maps/map.hpp"
#include "maps/percpu.hpp"
#include "maps/value_copy.hpp"
#include "maps/writer_gate.hpp"

namespace skep::maps {

class HashMap final : public Map, private Lru::Elements {
 public:
  static Result<MapRef> make(const MapSpec& spec, const Environment& environment);
  ~HashMap() override;

  std::byte* lookup(const std::byte* key, u32 cpu) noexcept override;
  int update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept override;
  int remove(const std::byte* key) noexcept override;
  /// update() and remove() of a map whose keys have that size, or, 0, any (with_key_size()).
  template <u32 key_size>
  int update_sized(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept;
  template <u32 key_size>
  int remove_sized(const std::byte* key) noexcept;
  s64 for_each(Visit visit, void* argument, u32 cpu) noexcept override;
  /// The element of `key`, or nullptr: what the kernel's __htab_map_lookup_elem() returns.
  std::byte* lookup_element(const std::byte* key) noexcept;
  /// How machine code finds elements by itself.
  [[nodiscard]] HashProbe probe() const;
  [[nodiscard]] const WriterGate& writers() const { return writers_; }

  void set_value_type(const btf::ObjectType& type) override;
  [[nodiscard]] u32 user_value_size() const override;
  [[nodiscard]] s64 element_count() const noexcept override;
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
  static constexpr u32 none = ElementPool::none;
  static_assert(none == LruNode::none);
  static_assert(offsetof(LruNode, ref) + hash_elem_header - sizeof(LruNode) == hash_elem_ref);
  static_assert(offsetof(LruNode, hash) + hash_elem_header - sizeof(LruNode) == hash_elem_hash);
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
  /// What a writer holds all the time.
  struct Writing {
    WriterGate::Scope scope;
    ElementPool::Lane* lane;  ///< nullptr: an LRU's elements are in its lists
    explicit Writing(HashMap& map)
        : scope(map.writers_), lane(map.lru_ != nullptr ? nullptr : &map.pool_->lane(scope.slot())) {}
    [[nodiscard]] bool alone() const { return scope.alone(); }
  };
  using Way = BucketTable::Way;
  /// Where a key's element is; `element` is none where it is not. Of a size that goes in registers: put
  /// together in memory from pieces, it would be waited for until all before is done.
  struct Place {
    Bucket* bucket = nullptr;
    u32 way = 0;
    u32 element = none;
  };
  static_assert(sizeof(Place) == 16);

  HashMap(const MapSpec& spec, const Environment& environment, std::shared_ptr<ElementPool> pool,
          std::shared_ptr<BucketTable> table);
  Result<void> make_lru();
  void own_percpu_values();

  [[nodiscard]] bool percpu() const { return percpu_; }
  [[nodiscard]] bool of_maps() const { return facts_.type == MapType::hash_of_maps; }
  [[nodiscard]] u64 value_distance() const { return round_up8(facts_.key_size); }
  std::byte* key_of(u32 element) const { return keys_ + u64{element} * stride_; }
  std::byte* value_of(u32 element) const { return key_of(element) + value_distance(); }
  std::byte* percpu_value(u32 element) const { return load<std::byte*>(value_of(element)); }
  [[nodiscard]] std::byte* program_value(u32 element, u32 cpu) const;

  /// `key_size`: of this map, or 0.
  template <u32 key_size = 0>
  [[nodiscard, gnu::always_inline]] u32 hash_of(const std::byte* key) const {
    return hash_key(key, key_size != 0 ? key_size : facts_.key_size, seed_);
  }
  [[nodiscard]] Bucket& first_of(u32 hash) const { return buckets_[u64{hash} * bucket_count_ >> 32]; }
  /// Under RCU or the bucket's lock. `key_size` is the map's, or 0 (which is slower).
  template <u32 key_size>
  Place find(Bucket& first, u32 hash, const std::byte* key) const {
    return lru_ != nullptr ? search<key_size, true>(first, hash, key)
                           : search<key_size, false>(first, hash, key);
  }
  /// `reused`: elements may become another key's meanwhile, as in LRU maps.
  template <u32 key_size, bool reused>
  Place search(Bucket& first, u32 hash, const std::byte* key) const;
  [[nodiscard]] u32 element_of(const std::byte* key) const noexcept;
  Place find(u32 hash, const std::byte* key) const { return find<0>(first_of(hash), hash, key); }
  void expect_element(const Bucket& first, u32 hash) const;
  /// Calls visit(element) for the elements of the bucket until it returns false. Under RCU or the lock.
  template <class F>
  bool each_in(u32 bucket, F visit) const;
  /// The first element at or behind a way of a bucket, or none.
  [[nodiscard]] u32 first_from(const Bucket* bucket, u32 way) const;
  /// Whether the element is one of the bucket's, which in LRU maps may change at any time.
  [[nodiscard]] bool belongs(u32 element, u32 bucket) const {
    return lru_ == nullptr || table_->index_of(node(element).hash.load(std::memory_order_relaxed)) == bucket;
  }

  /// What insert_or_replace() and take() do, where the map is the thread's own, its values are bytes and
  /// nothing else, and nothing is short; else `elsewhere`, and nothing is done (hash_own.hpp).
  template <u32 key_size>
  int update_own(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept;
  template <u32 key_size>
  void write_record(u32 element, const std::byte* key, const std::byte* value) const;
  template <u32 key_size>
  int update_own_plain(const std::byte* key, const std::byte* value, u64 flags, u32 slot) noexcept;
  template <u32 key_size>
  int update_own_lru(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept;
  template <u32 key_size>
  int remove_own(const std::byte* key) noexcept;
  static constexpr int elsewhere = 1;
  /// Which of these there is for the map; known after its first write, as what its BTF says comes after
  /// make().
  enum class OwnWrites : u8 { unknown, none, plain, lru };
  [[nodiscard]] OwnWrites own_writes() const {
    if (value_type_ != nullptr || !facts_.record.fields.empty()) return OwnWrites::none;
    return facts_.type == MapType::hash       ? OwnWrites::plain
           : facts_.type == MapType::lru_hash ? OwnWrites::lru
                                              : OwnWrites::none;
  }

  template <u32 key_size>
  int insert_or_replace(const std::byte* key, const std::byte* value, u64 flags, Writer writer) noexcept;
  /// E2BIG where other lanes may have room.
  template <u32 key_size>
  int try_insert_or_replace(u32 hash, const std::byte* key, const std::byte* value, u64 flags, Writer writer,
                            InnerMap& inner) noexcept;
  /// Under the bucket's lock; `fresh` is an LRU's new element, and none after it was used.
  int write(Bucket& first, u32 hash, const std::byte* key, const std::byte* value, Writer writer,
            InnerMap& inner, Place place, Writing& writing, u32& fresh);
  void write_in_place(u32 element, const std::byte* value, u64 flags, Writer writer);
  void write_percpu(u32 element, const std::byte* value, Writer writer) const;
  u32 new_element(const std::byte* key, Writing& writing) noexcept;
  u32 take_lru(u32 hash, const std::byte* key, u32 cpu, bool alone) noexcept;
  void fill(u32 fresh, const std::byte* value, Writer writer) const;
  void free_element_value(u32 element) const noexcept;
  /// After it is unlinked.
  void let_go(u32 element, Writing& writing) noexcept;
  /// 0 and what goes into the map; the errno of a descriptor that may not.
  int resolve_inner(const std::byte* value, InnerMap& inner) const;
  static int check_update(bool exists, u64 flags) {
    const u64 how = flags & ~uapi::LOCK;
    if (exists && how == uapi::NOEXIST) return -EEXIST;
    if (!exists && how == uapi::EXIST) return -ENOENT;
    return 0;
  }
  void read_value(u32 element, std::byte* value) const;
  Result<u32> copy_bucket(u32 index, MutBytes keys, MutBytes values, u32 at, u32 max_count, bool and_delete);

  [[nodiscard]] LruNode& node(u32 element) const {
    return *reinterpret_cast<LruNode*>(key_of(element) - sizeof(LruNode));
  }
  void mark_used(u32 element) const {
    const std::atomic_ref<u8> ref(node(element).ref);
    if (ref.load(std::memory_order_relaxed) == 0) ref.store(1, std::memory_order_relaxed);
  }
  // Lru::Elements
  void expect_unlink(u32 element) override;
  bool unlink(u32 element, bool alone) override;

  PercpuArea& area_;
  Objects* objects_;
  std::unique_ptr<Lru> lru_;
  std::byte* lru_values_ = nullptr;  ///< per-CPU values of an LRU's elements, in one piece
  bool percpu_;
  std::atomic<OwnWrites> own_writes_{OwnWrites::unknown};
  std::shared_ptr<ElementPool> pool_;
  std::shared_ptr<BucketTable> table_;
  // What of these two every operation needs.
  Bucket* buckets_;
  u32 bucket_count_;
  std::byte* keys_;
  u64 stride_;
  HashSeed seed_;
  WriterGate writers_;
};

template <u32 key_size, bool reused>
[[gnu::always_inline]] inline HashMap::Place HashMap::search(Bucket& first, u32 hash,
                                                             const std::byte* key) const {
  const u8 tag = Bucket::tag_of(hash);
  for (Bucket* bucket = &first;;) {
    const Bucket::Tags tags = bucket->tags();
    bool again = false;
    for (u32 ways = tags.match(tag); ways != 0; ways &= ways - 1) {
      const auto way = static_cast<u32>(std::countr_zero(ways));
      const u32 element = bucket->element(way);
      // One that is reused may be somebody else's by now: its hash was changed before its key.
      const bool may_be = !reused || node(element).hash.load(std::memory_order_relaxed) == hash;
      if (may_be && same_key(key_of(element), key, key_size != 0 ? key_size : facts_.key_size))
        return {bucket, way, element};
      if (reused) again |= bucket->element(way) != element;
    }
    if (reused && again) {
      bucket = &first;
      continue;
    }
    if (tags.next() == 0) return {};
    bucket = &table_->at(tags.next());
  }
}

template <class F>
bool HashMap::each_in(u32 index, F visit) const {
  for (const Bucket* bucket = &table_->at(index);;) {
    const Bucket::Tags tags = bucket->tags();
    for (u32 ways = ~tags.match(0) & Bucket::all_ways; ways != 0; ways &= ways - 1) {
      const u32 element = bucket->element(static_cast<u32>(std::countr_zero(ways)));
      if (belongs(element, index) && !visit(element)) return false;
    }
    if (tags.next() == 0) return true;
    bucket = &table_->at(tags.next());
  }
}

}  // namespace skep::maps
