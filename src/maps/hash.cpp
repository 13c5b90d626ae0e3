// See hash.hpp. hash_user.cpp has what only bpf(2) does.
#include "maps/hash.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <bit>

#include "maps/checks.hpp"
#include "maps/slots.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {
HashMap::HashMap(const MapSpec& spec, const Environment& environment, std::shared_ptr<ElementPool> pool,
                 Mapping buckets, u32 count)
    : Map(spec),
      area_(*environment.percpu),
      objects_(environment.objects),
      percpu_(spec.type == MapType::percpu_hash || spec.type == MapType::lru_percpu_hash),
      pool_(std::move(pool)),
      memory_(std::move(buckets)),
      bucket_count_(count) {
  static_assert(offsetof(Element, hash) == hash_elem_hash);
  static_assert(offsetof(Element, lru) + offsetof(LruNode, ref) == hash_elem_ref);
  if ((spec.flags & uapi::F_ZERO_SEED) == 0) {
    std::array<u64, 2> random{};
    if (::getrandom(random.data(), sizeof random, 0) != sizeof random)
      random[0] = reinterpret_cast<u64>(this);
    seed_ = {seed_.a ^ random[0], (seed_.b ^ random[1]) | 1};
  }
  if (facts_.type == MapType::percpu_hash)
    pool_->own_percpu(&area_, value_offset(), round_up8(spec.value_size));
  if (of_maps())
    pool_->own(value_offset(), [](std::byte* value) { std::destroy_at(reinterpret_cast<InnerMap*>(value)); });
}

HashMap::~HashMap() {
  if (value_type_ != nullptr)
    for (u32 i = 0; i < bucket_count_; ++i)
      for (Element* e = buckets()[i].first(); e != nullptr; e = e->next.load(std::memory_order_relaxed))
        free_element_value(e);
  if (lru_values_ != nullptr) area_.release(lru_values_, round_up8(facts_.value_size) * facts_.max_entries);
  if (lru_ != nullptr) return;  // its elements go with the slab
  for (u32 i = 0; i < bucket_count_; ++i)
    for (Element* element = buckets()[i].first(); element != nullptr;) {
      Element* next = element->next.load(std::memory_order_relaxed);
      pool_->give_back(bytes(element));
      element = next;
    }
}

Result<MapRef> HashMap::make(const MapSpec& spec, const Environment& environment) {
  SKEP_ASSERT(environment.percpu != nullptr);
  MapSpec sized = spec;
  const bool lru = spec.type == MapType::lru_hash || spec.type == MapType::lru_percpu_hash;
  if (lru && (spec.flags & uapi::F_NO_COMMON_LRU) != 0) {  // the same for each CPU
    const u32 cpus = environment.percpu->cpus();
    sized.max_entries = (spec.max_entries + cpus - 1) / cpus * cpus;
  }
  const bool pointer = spec.type == MapType::percpu_hash || spec.type == MapType::lru_percpu_hash;
  const u64 value = spec.type == MapType::hash_of_maps ? sizeof(InnerMap) : round_up8(spec.value_size);
  const u64 element = hash_elem_header + round_up8(spec.key_size) + (pointer ? 8 : value);
  const bool preallocate = (spec.flags & uapi::F_NO_PREALLOC) == 0;
  const u64 spare = lru ? 0 : environment.percpu->cpus();
  auto pool = TRY(ElementPool::create(element, preallocate ? u64{sized.max_entries} + spare : 0));
  // Twice the kernel's: most elements are the first of their bucket.
  const u32 count = std::bit_ceil(std::min(sized.max_entries, 1u << 30)) * 2;
  auto buckets = TRY(Mapping::map(u64{count} * sizeof(Bucket), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "buckets"));
  constexpr u64 huge_page = u64{2} << 20;
  if (buckets.size() >= huge_page) ::madvise(buckets.data(), buckets.size(), MADV_HUGEPAGE);
  auto map =
      std::shared_ptr<HashMap>(new HashMap(sized, environment, std::move(pool), std::move(buckets), count));
  if (lru)
    if (auto ok = map->make_lru(); !ok) return std::unexpected(std::move(ok).error());
  return MapRef(std::move(map));
}

Result<void> HashMap::make_lru() {
  const u64 slot = round_up8(facts_.value_size);
  if (percpu()) lru_values_ = TRY(area_.allocate(slot * facts_.max_entries));
  lru_ = std::make_unique<Lru>(this, unlink_lru, area_.cpus(), facts_.max_entries,
                               (facts_.flags & uapi::F_NO_COMMON_LRU) != 0);
  for (u32 i = 0; i < facts_.max_entries; ++i) {
    auto* element = new (pool_->allocate()) Element;
    if (percpu()) store(value_of(element), lru_values_ + slot * i);
    lru_->add(&element->lru, i);
  }
  return {};
}

bool HashMap::unlink_lru(void* map, LruNode* node) {
  auto& self = *static_cast<HashMap*>(map);
  auto* element = reinterpret_cast<Element*>(reinterpret_cast<std::byte*>(node) - offsetof(Element, lru));
  Bucket& in = self.bucket(element->hash.load(std::memory_order_relaxed));
  const std::lock_guard lock(in);
  Place at{&in, nullptr, in.first()};
  while (at.element != element) {
    if (at.element == nullptr) return false;
    at.previous = at.element;
    at.element = at.element->next.load(std::memory_order_relaxed);
  }
  set_next(at, element->next.load(std::memory_order_relaxed));
  self.count_.fetch_sub(1, std::memory_order_relaxed);
  self.free_element_value(element);
  return true;
}

void HashMap::set_next(const Place& place, Element* next) {
  if (place.previous == nullptr)
    place.in->set_first(next);
  else
    place.previous->next.store(next, std::memory_order_release);
}

template <u32 key_size>
HashMap::Place HashMap::find(Bucket& in, u32 hash, const std::byte* key) const {
  Place at{&in, nullptr, in.first()};
  while (at.element != nullptr) {
    if constexpr (key_size != 0) {
      const bool may_be = lru_ == nullptr || at.element->hash.load(std::memory_order_relaxed) == hash;
      if (may_be && same_key(key_of(at.element), key, key_size)) break;
    } else if (at.element->hash.load(std::memory_order_relaxed) == hash &&
               same_key(key_of(at.element), key, facts_.key_size)) {
      break;
    }
    Element* next = at.element->next.load(std::memory_order_acquire);
    // An LRU's element may have gone to another bucket since: its chain is not ours.
    if (lru_ != nullptr && &bucket(at.element->hash.load(std::memory_order_relaxed)) != &in) {
      at = {&in, nullptr, in.first()};
      continue;
    }
    at.previous = at.element;
    at.element = next;
  }
  return at;
}

std::byte* HashMap::lookup_element(const std::byte* key) noexcept {
  return with_key_size(facts_.key_size, [&](auto size) {
    const u32 hash = hash_key(key, size != 0 ? u32{size} : facts_.key_size, seed_);
    return bytes(find<size>(bucket(hash), hash, key).element);
  });
}

HashProbe HashMap::probe() const {
  return {.buckets = reinterpret_cast<u64>(memory_.data()),
          .mask = bucket_count_ - 1,
          .key_size = facts_.key_size,
          .seed = seed_,
          .first_only = lru_ != nullptr};
}

HashProbe hash_probe(const void* map) {
  return static_cast<const HashMap*>(static_cast<const Map*>(map))->probe();
}

std::byte* HashMap::lookup(const std::byte* key, u32 cpu) noexcept {
  auto* element = reinterpret_cast<Element*>(lookup_element(key));
  if (element == nullptr) return nullptr;
  if (lru_ != nullptr) {
    const std::atomic_ref<u8> ref(element->lru.ref);
    if (ref.load(std::memory_order_relaxed) == 0) ref.store(1, std::memory_order_relaxed);
  }
  if (of_maps()) return load<std::byte*>(value_of(element));
  return percpu() ? percpu_value(element) + area_.offset_of(cpu) : value_of(element);
}

int HashMap::update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept {
  return with_key_size(facts_.key_size,
                       [&](auto size) { return insert_or_replace<size>(key, value, flags, {false, cpu}); });
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
  auto* element = new (memory) Element;
  element->hash.store(hash, std::memory_order_relaxed);
  std::memcpy(key_of(element), key, facts_.key_size);
  return element;
}

HashMap::Element* HashMap::take_lru(u32 hash, const std::byte* key, u32 cpu) noexcept {
  LruNode* node = lru_->take(cpu);
  if (node == nullptr) return nullptr;
  auto* element = reinterpret_cast<Element*>(reinterpret_cast<std::byte*>(node) - offsetof(Element, lru));
  element->hash.store(hash, std::memory_order_relaxed);
  store_value(key_of(element), key, facts_.key_size);
  return element;
}

/// A fresh element's other CPUs are zero (pcpu_init_value()).
void HashMap::write_percpu(Element* element, const std::byte* value, Writer writer) const {
  std::byte* to = percpu_value(element);
  const u64 slot = round_up8(facts_.value_size);
  const auto put = [&](u32 cpu, const std::byte* from, u64 size) {
    store_plain_fields(facts_.record, to + area_.offset_of(cpu), from, size);
    free_value(to + area_.offset_of(cpu));
  };
  if (!writer.all_cpus) return put(writer.cpu, value, facts_.value_size);
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += slot) put(cpu, value, slot);
}

void HashMap::fill(Element* fresh, const std::byte* value, Writer writer) const {
  if (percpu()) {
    if (lru_ != nullptr && !writer.all_cpus)
      for (u32 cpu = 0; cpu < area_.cpus(); ++cpu)
        zero_value(percpu_value(fresh) + area_.offset_of(cpu), facts_.value_size);
    return write_percpu(fresh, value, writer);
  }
  if (lru_ != nullptr) free_value(value_of(fresh));  // given to it after it was evicted
  if (!facts_.record.fields.empty()) zero_value(value_of(fresh), facts_.value_size);
  store_plain_fields(facts_.record, value_of(fresh), value, facts_.value_size);
}

void HashMap::set_value_type(const btf::ObjectType& type) {
  Map::set_value_type(type);
  // A program that found an element before it was removed may have given it something since.
  if (lru_ == nullptr && !percpu())
    pool_->own(value_offset(), [&type](std::byte* value) { free_fields(type, value); });
}

void HashMap::on_user_release() noexcept {
  if (!has_async_fields()) return;
  for (u32 i = 0; i < bucket_count_; ++i) {
    const std::lock_guard lock(buckets()[i]);
    for (Element* e = buckets()[i].first(); e != nullptr; e = e->next.load(std::memory_order_relaxed))
      free_async_fields(facts_.record, value_of(e));
  }
}

void HashMap::free_element_value(Element* element) const noexcept {
  if (value_type_ == nullptr) return;
  if (!percpu()) return free_value(value_of(element));
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu) free_value(percpu_value(element) + area_.offset_of(cpu));
}

void HashMap::let_go(Element* element) noexcept {
  free_element_value(element);
  if (lru_ != nullptr)
    lru_->give_back(&element->lru);
  else
    pool_->retire(bytes(element));
}

int HashMap::resolve_inner(const std::byte* value, InnerMap& inner) const {
  if (objects_ == nullptr) return -EBADF;
  auto map = objects_->map(load<s32>(value));
  if (!map) return -map.error().code;
  if (!equals_inner(*facts_.inner, (*map)->facts())) return -EINVAL;
  inner = {map->get(), *map};
  return 0;
}

int HashMap::check_update(const Element* old, u64 flags) const {
  const u64 how = flags & ~uapi::LOCK;
  if (old != nullptr && how == uapi::NOEXIST) return -EEXIST;
  if (old == nullptr && how == uapi::EXIST) return -ENOENT;
  return 0;
}

template <u32 key_size>
int HashMap::insert_or_replace(const std::byte* key, const std::byte* value, u64 flags,
                               Writer writer) noexcept {
  if ((flags & ~uapi::LOCK) > uapi::EXIST) return -EINVAL;
  if ((flags & uapi::LOCK) != 0 && facts_.record.spin_lock_off < 0) return -EINVAL;
  InnerMap inner;
  if (of_maps())
    if (const int error = resolve_inner(value, inner); error != 0) return error;
  const u32 hash = hash_key(key, key_size != 0 ? key_size : facts_.key_size, seed_);
  Bucket& in = bucket(hash);
  Element* fresh = nullptr;  // an LRU's is taken before the bucket is locked: taking unlinks others
  if (lru_ != nullptr && (!percpu() || flags != uapi::EXIST)) {
    fresh = take_lru(hash, key, writer.cpu);
    if (fresh == nullptr) return -ENOMEM;
    fill(fresh, value, writer);
  }
  Element* old = nullptr;
  int result = 0;
  {
    const std::lock_guard lock(in);
    const Place place = find<key_size>(in, hash, key);
    old = place.element;
    result = check_update(old, flags);
    const bool in_place = old != nullptr && (percpu() || (flags & uapi::LOCK) != 0);
    if (result == 0 && in_place) {
      if (percpu()) {
        write_percpu(old, value, writer);
        if (lru_ != nullptr) std::atomic_ref<u8>(old->lru.ref).store(1, std::memory_order_relaxed);
      } else {
        const ValueLock value_lock(facts_.record, value_of(old), flags);
        store_plain_fields(facts_.record, value_of(old), value, facts_.value_size);
      }
    } else if (result == 0) {
      if (old == nullptr && count_.fetch_add(1, std::memory_order_relaxed) >= facts_.max_entries &&
          lru_ == nullptr) {
        result = -E2BIG;
      } else if (lru_ == nullptr) {
        fresh = new_element(hash, key);
        if (fresh == nullptr)
          result = -ENOMEM;
        else if (of_maps())
          new (value_of(fresh)) InnerMap(std::move(inner));
        else
          fill(fresh, value, writer);
      }
      if (result != 0 && old == nullptr) count_.fetch_sub(1, std::memory_order_relaxed);
      if (result == 0) {
        // One store: a reader finds the old one or the new one.
        const Place at = old != nullptr ? place : Place{&in, nullptr, nullptr};
        Element* next = old != nullptr ? old->next.load(std::memory_order_relaxed) : in.first();
        fresh->next.store(next, std::memory_order_relaxed);
        set_next(at, fresh);
        fresh = nullptr;
      }
    }
    if (result != 0 || in_place) old = nullptr;
  }
  if (fresh != nullptr) let_go(fresh);
  if (old != nullptr) let_go(old);
  return result;
}

template HashMap::Place HashMap::find<0>(Bucket& in, u32 hash, const std::byte* key) const;
template int HashMap::insert_or_replace<0>(const std::byte* key, const std::byte* value, u64 flags,
                                           Writer writer) noexcept;

int HashMap::take(const std::byte* key, std::byte* value) noexcept {
  const u32 hash = hash_of(key);
  Bucket& in = bucket(hash);
  Element* old = nullptr;
  {
    const std::lock_guard lock(in);
    const Place place = find(in, hash, key);
    old = place.element;
    if (old == nullptr) return -ENOENT;
    if (value != nullptr) read_value(old, value);
    set_next(place, old->next.load(std::memory_order_relaxed));
    count_.fetch_sub(1, std::memory_order_relaxed);
  }
  let_go(old);
  return 0;
}

s64 HashMap::for_each(Visit visit, void* argument, u32 cpu) noexcept {
  s64 calls = 0;
  for (u32 i = 0; i < bucket_count_; ++i)
    for (Element* e = buckets()[i].first(); e != nullptr;) {
      Element* next = e->next.load(std::memory_order_acquire);
      std::byte* value = percpu() ? percpu_value(e) + area_.offset_of(cpu) : value_of(e);
      ++calls;
      if (visit(argument, key_of(e), value) != 0) return calls;
      // Elements of LRU maps move between buckets: what does not belong here was seen or will be.
      e = next != nullptr && &bucket(next->hash.load(std::memory_order_relaxed)) == &buckets()[i] ? next
                                                                                                  : nullptr;
    }
  return calls;
}

namespace {

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

}  // namespace

constinit const std::array<MapTypeRow, 5> hash_rows = {{
    {MapType::hash, check_hash, HashMap::make, MapTypeRow::Btf::any},
    {MapType::percpu_hash, check_hash, HashMap::make, MapTypeRow::Btf::any},
    {MapType::lru_hash, check_hash, HashMap::make, MapTypeRow::Btf::any},
    {MapType::lru_percpu_hash, check_hash, HashMap::make, MapTypeRow::Btf::any},
    {MapType::hash_of_maps, check_hash, HashMap::make, MapTypeRow::Btf::no},
}};

}  // namespace skep::maps
