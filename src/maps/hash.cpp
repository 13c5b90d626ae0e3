// See hash.hpp. hash_user.cpp has what only bpf(2) does.
#include "maps/hash.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include "maps/checks.hpp"
#include "maps/hash_own.hpp"
#include "maps/slots.hpp"
#include "maps/value_fields.hpp"

namespace skep::maps {
HashMap::HashMap(const MapSpec& spec, const Environment& environment, std::shared_ptr<ElementPool> pool,
                 std::shared_ptr<BucketTable> table)
    : Map(spec),
      area_(*environment.percpu),
      objects_(environment.objects),
      percpu_(spec.type == MapType::percpu_hash || spec.type == MapType::lru_percpu_hash),
      pool_(std::move(pool)),
      table_(std::move(table)),
      buckets_(&table_->at(0)),
      bucket_count_(table_->count()),
      keys_(pool_->keys()),
      stride_(pool_->stride()) {
  if ((spec.flags & uapi::F_ZERO_SEED) == 0) {
    std::array<u64, 2> random{};
    if (::getrandom(random.data(), sizeof random, 0) != sizeof random)
      random[0] = reinterpret_cast<u64>(this);
    seed_ = {seed_.a ^ random[0], (seed_.b ^ random[1]) | 1};
  }
  if (facts_.type == MapType::percpu_hash) own_percpu_values();
  if (of_maps())
    pool_->own(
        [at = value_distance()](std::byte* key) { std::destroy_at(reinterpret_cast<InnerMap*>(key + at)); },
        true);
}

/// An element keeps its per-CPU memory for its next lives.
void HashMap::own_percpu_values() {
  const u64 at = value_distance(), size = round_up8(facts_.value_size);
  PercpuArea* area = &area_;
  pool_->on_first(
      [=](std::byte* key) {
        auto values = area->allocate(size);
        if (values) store(key + at, *values);
        return values.has_value();
      },
      [=](std::byte* key) { area->release(load<std::byte*>(key + at), size); });
}

HashMap::~HashMap() {
  if (value_type_ != nullptr || of_maps())
    for (u32 i = 0; i < table_->count(); ++i)
      each_in(i, [&](u32 element) {
        free_element_value(element);
        pool_->destroy(element);
        return true;
      });
  if (lru_values_ != nullptr) area_.release(lru_values_, round_up8(facts_.value_size) * facts_.max_entries);
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
  const u64 value = spec.type == MapType::hash_of_maps ? sizeof(InnerMap)
                    : pointer                          ? sizeof(std::byte*)
                                                       : round_up8(spec.value_size);
  auto pool = TRY(ElementPool::create(lru ? sizeof(LruNode) : 0, round_up8(spec.key_size) + value,
                                      sized.max_entries, lru));
  auto table = TRY(BucketTable::create(sized.max_entries));
  auto map = std::shared_ptr<HashMap>(new HashMap(sized, environment, std::move(pool), std::move(table)));
  if (lru)
    if (auto ok = map->make_lru(); !ok) return std::unexpected(std::move(ok).error());
  return MapRef(std::move(map));
}

Result<void> HashMap::make_lru() {
  const u64 slot = round_up8(facts_.value_size);
  if (percpu()) lru_values_ = TRY(area_.allocate(slot * facts_.max_entries));
  const bool separate = (facts_.flags & uapi::F_NO_COMMON_LRU) != 0;
  lru_.reset(new Lru(*this, {keys_ - sizeof(LruNode), stride_}, area_.cpus(), facts_.max_entries, separate));
  for (u32 i = 0; i < facts_.max_entries; ++i) {
    new (&node(i)) LruNode;
    if (percpu()) store(value_of(i), lru_values_ + slot * i);
    lru_->add(i);
  }
  return {};
}

void HashMap::expect_unlink(u32 element) {
  __builtin_prefetch(&first_of(node(element).hash.load(std::memory_order_relaxed)), 1);
}

bool HashMap::unlink(u32 element, bool alone) {
  const u32 hash = node(element).hash.load(std::memory_order_relaxed);
  Bucket& first = first_of(hash);
  const LockUnless lock(alone, first);
  for (Bucket* bucket = &first;;) {
    const Bucket::Tags tags = bucket->tags();
    for (u32 ways = tags.match(Bucket::tag_of(hash)); ways != 0; ways &= ways - 1) {
      const auto way = static_cast<u32>(std::countr_zero(ways));
      if (bucket->element(way) != element) continue;
      table_->clear(first, {bucket, way});
      if (value_type_ != nullptr) free_element_value(element);
      return true;
    }
    if (tags.next() == 0) return false;
    bucket = &table_->at(tags.next());
  }
}

/// Before a lock's atomic instruction, behind which nothing is loaded before it is done: what will be needed.
void HashMap::expect_element(const Bucket& first, u32 hash) const {
  const u32 ways = first.tags().match(Bucket::tag_of(hash));
  if (ways != 0) __builtin_prefetch(key_of(first.element(static_cast<u32>(std::countr_zero(ways)))));
}

u32 HashMap::element_of(const std::byte* key) const noexcept {
  return with_key_size(facts_.key_size, [&](auto size) {
    const u32 hash = hash_of<size>(key);
    return find<size>(first_of(hash), hash, key).element;
  });
}

std::byte* HashMap::lookup_element(const std::byte* key) noexcept {
  const u32 element = element_of(key);
  return element == none ? nullptr : key_of(element) - hash_elem_header;
}

HashProbe HashMap::probe() const {
  return {.buckets = reinterpret_cast<u64>(&table_->at(0)),
          .count = table_->count(),
          .elements = reinterpret_cast<u64>(pool_->keys()) - hash_elem_header,
          .stride = pool_->stride(),
          .key_size = facts_.key_size,
          .seed = seed_,
          .reused = lru_ != nullptr};
}

HashProbe hash_probe(const void* map) {
  return static_cast<const HashMap*>(static_cast<const Map*>(map))->probe();
}

/// What a program on that CPU is given.
std::byte* HashMap::program_value(u32 element, u32 cpu) const {
  if (of_maps()) return load<std::byte*>(value_of(element));
  return percpu() ? percpu_value(element) + area_.offset_of(cpu) : value_of(element);
}

std::byte* HashMap::lookup(const std::byte* key, u32 cpu) noexcept {
  const u32 element = element_of(key);
  if (element == none) return nullptr;
  if (lru_ != nullptr) mark_used(element);
  return program_value(element, cpu);
}

template <u32 key_size>
int HashMap::update_sized(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept {
  const int result = update_own<key_size>(key, value, flags, cpu);
  return result != elsewhere ? result : insert_or_replace<key_size>(key, value, flags, {false, cpu});
}

int HashMap::update(const std::byte* key, const std::byte* value, u64 flags, u32 cpu) noexcept {
  return with_key_size(facts_.key_size,
                       [&](auto size) { return update_sized<size>(key, value, flags, cpu); });
}

u32 HashMap::new_element(const std::byte* key, Writing& writing) noexcept {
  const u32 element = pool_->allocate(*writing.lane);
  if (element != none) std::memcpy(key_of(element), key, facts_.key_size);
  return element;
}

u32 HashMap::take_lru(u32 hash, const std::byte* key, u32 cpu, bool alone) noexcept {
  const u32 element = lru_->take(cpu, alone);
  if (element == none) return none;
  node(element).hash.store(hash, std::memory_order_relaxed);
  store_value(key_of(element), key, facts_.key_size);
  return element;
}

void HashMap::write_percpu(u32 element, const std::byte* value, Writer writer) const {
  std::byte* to = percpu_value(element);
  const u64 slot = round_up8(facts_.value_size);
  const auto put = [&](u32 cpu, const std::byte* from, u64 size) {
    store_plain_fields(facts_.record, to + area_.offset_of(cpu), from, size);
    free_value(to + area_.offset_of(cpu));
  };
  if (!writer.all_cpus) return put(writer.cpu, value, facts_.value_size);
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu, value += slot) put(cpu, value, slot);
}

/// A fresh element's other CPUs are zero (pcpu_init_value()). A program that found the element before it was
/// removed may have given it something since.
void HashMap::fill(u32 fresh, const std::byte* value, Writer writer) const {
  if (percpu()) {
    free_element_value(fresh);
    if (!writer.all_cpus)
      for (u32 cpu = 0; cpu < area_.cpus(); ++cpu)
        zero_value(percpu_value(fresh) + area_.offset_of(cpu), facts_.value_size);
    return write_percpu(fresh, value, writer);
  }
  if (lru_ != nullptr) free_value(value_of(fresh));
  if (!facts_.record.fields.empty()) zero_value(value_of(fresh), facts_.value_size);
  store_plain_fields(facts_.record, value_of(fresh), value, facts_.value_size);
}

void HashMap::set_value_type(const btf::ObjectType& type) {
  Map::set_value_type(type);
  // A program that found an element before it was removed may have given it something since.
  if (lru_ == nullptr && !percpu())
    pool_->own([&type, at = value_distance()](std::byte* key) { free_fields(type, key + at); }, false);
}

void HashMap::on_user_release() noexcept {
  if (!has_async_fields()) return;
  const Writing writing(*this);
  for (u32 i = 0; i < table_->count(); ++i) {
    const LockUnless lock(writing.alone(), table_->at(i));
    each_in(i, [&](u32 element) {
      free_async_fields(facts_.record, value_of(element));
      return true;
    });
  }
}

void HashMap::free_element_value(u32 element) const noexcept {
  if (value_type_ == nullptr) return;
  if (!percpu()) return free_value(value_of(element));
  for (u32 cpu = 0; cpu < area_.cpus(); ++cpu) free_value(percpu_value(element) + area_.offset_of(cpu));
}

void HashMap::let_go(u32 element, Writing& writing) noexcept {
  free_element_value(element);
  if (lru_ != nullptr)
    lru_->give_back(element, writing.alone());
  else
    pool_->retire(*writing.lane, element);
}

int HashMap::resolve_inner(const std::byte* value, InnerMap& inner) const {
  if (objects_ == nullptr) return -EBADF;
  auto map = objects_->map(load<s32>(value));
  if (!map) return -map.error().code;
  if (!equals_inner(*facts_.inner, (*map)->facts())) return -EINVAL;
  inner = {map->get(), *map};
  return 0;
}

void HashMap::write_in_place(u32 element, const std::byte* value, u64 flags, Writer writer) {
  if (percpu()) {
    write_percpu(element, value, writer);
    if (lru_ != nullptr) mark_used(element);
    return;
  }
  const ValueLock value_lock(facts_.record, value_of(element), flags);
  store_plain_fields(facts_.record, value_of(element), value, facts_.value_size);
}

int HashMap::write(Bucket& first, u32 hash, const std::byte* key, const std::byte* value, Writer writer,
                   InnerMap& inner, Place place, Writing& writing, u32& fresh) {
  const bool is_new = place.element == none;
  if (is_new && lru_ == nullptr && !pool_->take_room(*writing.lane)) return -E2BIG;
  const Way at = is_new ? table_->free_way(first) : Way{place.bucket, place.way};
  if (at && lru_ == nullptr) fresh = new_element(key, writing);
  if (!at || fresh == none) {
    if (is_new && lru_ == nullptr) pool_->give_room(*writing.lane);
    return -ENOMEM;
  }
  if (of_maps())
    new (value_of(fresh)) InnerMap(std::move(inner));
  else if (lru_ == nullptr)
    fill(fresh, value, writer);
  // One store: a reader finds the old one or the new one.
  if (is_new)
    BucketTable::put(at, fresh, Bucket::tag_of(hash));
  else
    at.bucket->set_element(at.way, fresh);
  fresh = none;
  return 0;
}

template <u32 key_size>
int HashMap::try_insert_or_replace(u32 hash, const std::byte* key, const std::byte* value, u64 flags,
                                   Writer writer, InnerMap& inner) noexcept {
  Writing writing(*this);
  Bucket& first = first_of(hash);
  u32 fresh = none;  // an LRU's is taken before the bucket is locked: taking unlinks others
  if (lru_ != nullptr && (!percpu() || flags != uapi::EXIST)) {
    __builtin_prefetch(&first, 1);
    fresh = take_lru(hash, key, writer.cpu, writing.alone());
    if (fresh == none) return -ENOMEM;
    fill(fresh, value, writer);
  }
  if (!writing.alone()) expect_element(first, hash);
  u32 old = none;
  int result = 0;
  {
    const LockUnless lock(writing.alone(), first);
    const Place place = find<key_size>(first, hash, key);
    const bool exists = place.element != none;
    result = check_update(exists, flags);
    if (result == 0 && exists && (percpu() || (flags & uapi::LOCK) != 0)) {
      write_in_place(place.element, value, flags, writer);
    } else if (result == 0) {
      result = write(first, hash, key, value, writer, inner, place, writing, fresh);
      if (result == 0) old = place.element;
    }
  }
  if (fresh != none) let_go(fresh, writing);
  if (old != none) let_go(old, writing);
  return result;
}

template <u32 key_size>
int HashMap::insert_or_replace(const std::byte* key, const std::byte* value, u64 flags,
                               Writer writer) noexcept {
  if (own_writes_.load(std::memory_order_relaxed) == OwnWrites::unknown)
    own_writes_.store(own_writes(), std::memory_order_relaxed);
  if ((flags & ~uapi::LOCK) > uapi::EXIST) return -EINVAL;
  if ((flags & uapi::LOCK) != 0 && facts_.record.spin_lock_off < 0) return -EINVAL;
  InnerMap inner;
  if (of_maps())
    if (const int error = resolve_inner(value, inner); error != 0) return error;
  const u32 hash = hash_of<key_size>(key);
  for (;;) {
    const int result = try_insert_or_replace<key_size>(hash, key, value, flags, writer, inner);
    if (result != -E2BIG || !pool_->others_have_room()) return result;
    writers_.exclusively([&] { pool_->collect_room(); });
  }
}

template int HashMap::insert_or_replace<0>(const std::byte* key, const std::byte* value, u64 flags,
                                           Writer writer) noexcept;

template <u32 key_size>
int HashMap::remove_sized(const std::byte* key) noexcept {
  const int result = remove_own<key_size>(key);
  return result != elsewhere ? result : take(key, nullptr);
}

int HashMap::remove(const std::byte* key) noexcept {
  return with_key_size(facts_.key_size, [&](auto size) { return remove_sized<size>(key); });
}

// For all that with_key_size() makes.
template int HashMap::update_sized<0>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<0>(const std::byte*) noexcept;
template int HashMap::update_sized<4>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<4>(const std::byte*) noexcept;
template int HashMap::update_sized<8>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<8>(const std::byte*) noexcept;
template int HashMap::update_sized<12>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<12>(const std::byte*) noexcept;
template int HashMap::update_sized<16>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<16>(const std::byte*) noexcept;
template int HashMap::update_sized<24>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<24>(const std::byte*) noexcept;
template int HashMap::update_sized<40>(const std::byte*, const std::byte*, u64, u32) noexcept;
template int HashMap::remove_sized<40>(const std::byte*) noexcept;

int HashMap::take(const std::byte* key, std::byte* value) noexcept {
  return with_key_size(facts_.key_size, [&](auto size) {
    const u32 hash = hash_of<size>(key);
    Writing writing(*this);
    Bucket& first = first_of(hash);
    Place place;
    if (!writing.alone()) expect_element(first, hash);
    {
      const LockUnless lock(writing.alone(), first);
      place = find<size>(first, hash, key);
      if (place.element == none) return -ENOENT;
      if (value != nullptr) read_value(place.element, value);
      table_->clear(first, {place.bucket, place.way});
      if (lru_ == nullptr) pool_->give_room(*writing.lane);
    }
    let_go(place.element, writing);
    return 0;
  });
}

s64 HashMap::for_each(Visit visit, void* argument, u32 cpu) noexcept {
  s64 calls = 0;
  const auto one = [&](u32 element) {
    ++calls;
    return visit(argument, key_of(element), program_value(element, cpu)) == 0;
  };
  for (u32 i = 0; i < table_->count(); ++i)
    if (!each_in(i, one)) break;
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
