// The hash maps: buckets of singly linked elements. Readers walk without locks; writers lock the bucket, and
// replace an element rather than change it, so that a reader's value stays whole (kernel/bpf/hashtab.c). An
// element is hash_elem_header bytes, the key rounded up to 8, the value: rewritten code adds to the element
// that fn_htab_map_lookup_elem returns. Per-CPU values stand in the per-CPU area, the element holds CPU 0's
// address; they are changed in place.
#pragma once
#include <atomic>

#include "maps/element_pool.hpp"
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
  /// The element of `key`, or nullptr: what the kernel's __htab_map_lookup_elem() returns.
  std::byte* lookup_element(const std::byte* key) noexcept;

  [[nodiscard]] u32 user_value_size() const override;
  [[nodiscard]] u64 memlock() const override;

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override;
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;
  int take(const std::byte* key, std::byte* value) noexcept override;
  [[nodiscard]] bool has_batch(Batch) const override { return true; }
  Result<BatchResult> walk_batch(ByteView in_batch, MutBytes out_batch, MutBytes keys, MutBytes values,
                                 u32 max_count, bool and_delete) override;

 private:
  struct Element {
    std::atomic<Element*> next;
    u32 hash;
  };
  static_assert(sizeof(Element) <= hash_elem_header);
  struct Bucket {
    std::atomic<Element*> head;
    std::atomic<u32> locked;
  };
  class BucketLock;
  /// Who writes a per-CPU value: one CPU's own, or bpf(2) with one for each CPU.
  struct Writer {
    bool all_cpus = false;
    u32 cpu = 0;
  };

  HashMap(const MapSpec& spec, PercpuArea& area, std::shared_ptr<ElementPool> pool, Mapping buckets,
          u32 count);

  [[nodiscard]] bool percpu() const { return facts_.type == MapType::percpu_hash; }
  [[nodiscard]] u64 value_offset() const { return hash_elem_header + round_up8(facts_.key_size); }
  static std::byte* bytes(Element* element) { return reinterpret_cast<std::byte*>(element); }
  static std::byte* key_of(Element* element) { return bytes(element) + hash_elem_header; }
  std::byte* value_of(Element* element) const { return bytes(element) + value_offset(); }
  std::byte* percpu_value(Element* element) const { return load<std::byte*>(value_of(element)); }

  [[nodiscard]] u32 hash_of(const std::byte* key) const;
  Bucket& bucket(u32 hash) const { return buckets()[hash & (bucket_count_ - 1)]; }
  Bucket* buckets() const { return reinterpret_cast<Bucket*>(memory_.data()); }
  /// Under RCU or the bucket's lock. `link`, if given, gets what points at the element.
  Element* find(Bucket& in, u32 hash, const std::byte* key, std::atomic<Element*>** link = nullptr) const;
  int insert_or_replace(const std::byte* key, const std::byte* value, u64 flags, Writer writer) noexcept;
  void write_percpu(Element* element, const std::byte* value, Writer writer) const;
  Element* new_element(u32 hash, const std::byte* key) noexcept;
  void read_value(Element* element, std::byte* value) const;
  Result<u32> copy_bucket(u32 index, MutBytes keys, MutBytes values, u32 at, u32 max_count, bool and_delete);

  PercpuArea& area_;
  std::shared_ptr<ElementPool> pool_;
  Mapping memory_;
  u32 bucket_count_;
  u64 seed_;
  std::atomic<u32> count_{0};
};

}  // namespace skep::maps
