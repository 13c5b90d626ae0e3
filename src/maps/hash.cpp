// See hash.hpp. hash_user.cpp has what only bpf(2) does.
#include "maps/hash.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <bit>

#include "maps/checks.hpp"
#include "maps/hashing.hpp"

namespace skep::maps {
namespace {

bool same(const std::byte* a, const std::byte* b, u32 size) {
  if (size == 4) return load<u32>(a) == load<u32>(b);
  if (size == 8) return load<u64>(a) == load<u64>(b);
  return std::memcmp(a, b, size) == 0;
}

}  // namespace

/// Held for a few dozen instructions, never while waiting for anything.
class HashMap::BucketLock {
 public:
  explicit BucketLock(Bucket& bucket) : bucket_(bucket) {
    for (u32 spins = 0; bucket_.locked.exchange(1, std::memory_order_acquire) != 0;)
      if (++spins % 128 == 0) ::sched_yield();
  }
  ~BucketLock() { bucket_.locked.store(0, std::memory_order_release); }
  BucketLock(const BucketLock&) = delete;
  BucketLock& operator=(const BucketLock&) = delete;

 private:
  Bucket& bucket_;
};

HashMap::HashMap(const MapSpec& spec, PercpuArea& area, std::shared_ptr<ElementPool> pool, Mapping buckets,
                 u32 count)
    : Map(spec),
      area_(area),
      pool_(std::move(pool)),
      memory_(std::move(buckets)),
      bucket_count_(count),
      seed_(0) {
  if ((spec.flags & uapi::F_ZERO_SEED) == 0 && ::getrandom(&seed_, sizeof seed_, 0) != sizeof seed_)
    seed_ = reinterpret_cast<u64>(this);
  if (percpu()) pool_->own_percpu(&area_, value_offset(), round_up8(spec.value_size));
}

HashMap::~HashMap() {
  for (u32 i = 0; i < bucket_count_; ++i)
    for (Element* element = buckets()[i].head.load(std::memory_order_relaxed); element != nullptr;) {
      Element* next = element->next.load(std::memory_order_relaxed);
      pool_->give_back(bytes(element));
      element = next;
    }
}

Result<MapRef> HashMap::make(const MapSpec& spec, const Environment& environment) {
  SKEP_ASSERT(environment.percpu != nullptr);
  const bool percpu = spec.type == MapType::percpu_hash;
  const u64 element = hash_elem_header + round_up8(spec.key_size) + (percpu ? 8 : round_up8(spec.value_size));
  const bool preallocate = (spec.flags & uapi::F_NO_PREALLOC) == 0;
  auto pool =
      TRY(ElementPool::create(element, preallocate ? u64{spec.max_entries} + environment.percpu->cpus() : 0));
  const u32 count = std::bit_ceil(spec.max_entries);
  auto buckets = TRY(Mapping::map(u64{count} * sizeof(Bucket), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "buckets"));
  return MapRef(new HashMap(spec, *environment.percpu, std::move(pool), std::move(buckets), count));
}

u32 HashMap::hash_of(const std::byte* key) const {
  return static_cast<u32>(hash_bytes(key, facts_.key_size, seed_));
}

HashMap::Element* HashMap::find(Bucket& in, u32 hash, const std::byte* key,
                                std::atomic<Element*>** link) const {
  std::atomic<Element*>* at = &in.head;
  Element* element = at->load(std::memory_order_acquire);
  while (element != nullptr && !(element->hash == hash && same(key_of(element), key, facts_.key_size))) {
    at = &element->next;
    element = at->load(std::memory_order_acquire);
  }
  if (link != nullptr) *link = at;
  return element;
}

std::byte* HashMap::lookup_element(const std::byte* key) noexcept {
  const u32 hash = hash_of(key);
  return bytes(find(bucket(hash), hash, key));
}

std::byte* HashMap::lookup(const std::byte* key, u32 cpu) noexcept {
  const u32 hash = hash_of(key);
  Element* element = find(bucket(hash), hash, key);
  if (element == nullptr) return nullptr;
  return percpu() ? percpu_value(element) + area_.offset_of(cpu) : value_of(element);
}

int HashMap::update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept {
  return insert_or_replace(key, value, flags, {false, cpu});
}

HashMap::Element* HashMap::new_element(u32 hash, const std::byte* key) noexcept {
  std::byte* memory = pool_->allocate();
  if (memory == nullptr) return nullptr;
  if (percpu()) {
    auto values = area_.allocate(round_up8(facts_.value_size));
    store(memory + value_offset(), values ? *values : nullptr);
    if (!values) {
      pool_->discard(memory);
      return nullptr;
    }
  }
  auto* element = new (memory) Element{};
  element->hash = hash;
  std::memcpy(key_of(element), key, facts_.key_size);
  return element;
}

/// A fresh element's other CPUs stay zero (pcpu_init_value()).
void HashMap::write_percpu(Element* element, const std::byte* value, Writer writer) const {
  std::byte* to = percpu_value(element);
  const u64 slot = round_up8(facts_.value_size);
  if (!writer.all_cpus) {
    store_value(to + area_.offset_of(writer.cpu), value, facts_.value_size);
    return;
  }
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += slot)
    store_value(to + area_.offset_of(cpu), value, slot);
}

int HashMap::insert_or_replace(const std::byte* key, const std::byte* value, u64 flags,
                               Writer writer) noexcept {
  if (flags > uapi::EXIST) return -EINVAL;
  const u32 hash = hash_of(key);
  Bucket& in = bucket(hash);
  Element* old = nullptr;
  {
    const BucketLock lock(in);
    std::atomic<Element*>* link = nullptr;
    old = find(in, hash, key, &link);
    if (old != nullptr && flags == uapi::NOEXIST) return -EEXIST;
    if (old == nullptr && flags == uapi::EXIST) return -ENOENT;
    if (old != nullptr && percpu()) {
      write_percpu(old, value, writer);
      return 0;
    }
    if (old == nullptr && count_.fetch_add(1, std::memory_order_relaxed) >= facts_.max_entries) {
      count_.fetch_sub(1, std::memory_order_relaxed);
      return -E2BIG;
    }
    Element* fresh = new_element(hash, key);
    if (fresh == nullptr) {
      if (old == nullptr) count_.fetch_sub(1, std::memory_order_relaxed);
      return -ENOMEM;
    }
    if (percpu())
      write_percpu(fresh, value, writer);
    else
      std::memcpy(value_of(fresh), value, facts_.value_size);
    // The new one stands before the old one goes: a reader finds one of them.
    fresh->next.store(in.head.load(std::memory_order_relaxed), std::memory_order_relaxed);
    in.head.store(fresh, std::memory_order_release);
    if (old != nullptr) {
      if (link == &in.head) link = &fresh->next;
      link->store(old->next.load(std::memory_order_relaxed), std::memory_order_release);
    }
  }
  if (old != nullptr) pool_->retire(bytes(old));
  return 0;
}

int HashMap::take(const std::byte* key, std::byte* value) noexcept {
  const u32 hash = hash_of(key);
  Bucket& in = bucket(hash);
  Element* old = nullptr;
  {
    const BucketLock lock(in);
    std::atomic<Element*>* link = nullptr;
    old = find(in, hash, key, &link);
    if (old == nullptr) return -ENOENT;
    if (value != nullptr) read_value(old, value);
    link->store(old->next.load(std::memory_order_relaxed), std::memory_order_release);
    count_.fetch_sub(1, std::memory_order_relaxed);
  }
  pool_->retire(bytes(old));
  return 0;
}

/// htab_map_alloc_check()
Result<void> check_hash(const MapSpec& spec) {
  constexpr u32 known =
      uapi::F_NO_PREALLOC | uapi::F_NO_COMMON_LRU | uapi::F_NUMA_NODE | access_mask | uapi::F_ZERO_SEED;
  const bool percpu = spec.type == MapType::percpu_hash || spec.type == MapType::lru_percpu_hash;
  const bool lru = spec.type == MapType::lru_hash || spec.type == MapType::lru_percpu_hash;
  if ((spec.flags & ~known) != 0 || !access_flags_ok(spec.flags) ||
      (!lru && (spec.flags & uapi::F_NO_COMMON_LRU) != 0) ||
      (percpu && (spec.flags & uapi::F_NUMA_NODE) != 0))
    return fail(EINVAL, fmt::format("map_flags {:#x} are not allowed", spec.flags));
  if (lru && (spec.flags & uapi::F_NO_PREALLOC) != 0)
    return fail(kENOTSUPP, "LRU maps allocate their elements at once: no BPF_F_NO_PREALLOC");
  if (spec.max_entries == 0 || spec.key_size == 0 || spec.value_size == 0)
    return fail(EINVAL, fmt::format("key_size {}, value_size {}, max_entries {}: none may be 0",
                                    spec.key_size, spec.value_size, spec.max_entries));
  if (spec.type == MapType::hash_of_maps)
    if (auto ok = check_value(spec, 4); !ok) return ok;
  if (u64{spec.key_size} + spec.value_size >= kmalloc_max - hash_elem_header)
    return fail(E2BIG,
                fmt::format("key_size {} and value_size {} are too big", spec.key_size, spec.value_size));
  if (percpu && round_up8(spec.value_size) > percpu_value_max)
    return fail(E2BIG,
                fmt::format("value_size {} is more than {} for a CPU", spec.value_size, percpu_value_max));
  if (spec.max_entries >= 1u << 31)
    return fail(E2BIG, fmt::format("max_entries {} is too big", spec.max_entries));
  return {};
}

constinit const MapTypeRow hash_row = {MapType::hash, check_hash, HashMap::make, MapTypeRow::Btf::any};
constinit const MapTypeRow percpu_hash_row = {MapType::percpu_hash, check_hash, HashMap::make,
                                              MapTypeRow::Btf::any};

}  // namespace skep::maps
