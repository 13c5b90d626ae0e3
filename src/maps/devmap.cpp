// See devmap.hpp.
#include "maps/devmap.hpp"

#include <net/if.h>

#include "base/rcu.hpp"
#include "maps/checks.hpp"

namespace skep::maps {

/// Entries by key. Arrays write their slots; hashes put another table in place.
struct RedirectMap::Table {
  std::vector<std::atomic<const Entry*>> slots;  ///< arrays
  std::map<u32, const Entry*> entries;           ///< devmap_hash
};

namespace {

template <class T>
void defer_delete(const T* what) {
  if (what == nullptr) return;
  rcu::defer(const_cast<T*>(what),
             [](void* gone) { delete static_cast<T*>(gone); });  // NOLINT: ours to delete
}

}  // namespace

RedirectMap::RedirectMap(const MapSpec& spec, const Environment& environment)
    : Map(spec), objects_(environment.objects), cpus_(environment.percpu->cpus()) {
  // dev_map_alloc_check(): programs get pointers to what entries say, and must not write there.
  if (!cpus_are_keys()) facts_.flags |= uapi::F_RDONLY_PROG;
  auto* table = new Table;
  if (!hash()) table->slots = std::vector<std::atomic<const Entry*>>(spec.max_entries);
  table_.store(table, std::memory_order_release);
}

RedirectMap::~RedirectMap() {
  const Table* table = table_.load(std::memory_order_relaxed);
  for (const auto& slot : table->slots) delete slot.load(std::memory_order_relaxed);
  for (const auto& [key, entry] : table->entries) delete entry;
  delete table;
}

const RedirectMap::Entry* RedirectMap::find(u32 key) const noexcept {
  const Table* table = table_.load(std::memory_order_acquire);
  if (!hash()) return key < table->slots.size() ? table->slots[key].load(std::memory_order_acquire) : nullptr;
  const auto it = table->entries.find(key);
  return it == table->entries.end() ? nullptr : it->second;
}

const RedirectTarget* RedirectMap::target(u32 key) const noexcept {
  const Entry* entry = find(key);
  return entry == nullptr ? nullptr : &entry->target;
}

const RedirectTarget* RedirectMap::target_from(u32 key) const noexcept {
  const Table* table = table_.load(std::memory_order_acquire);
  if (hash()) {
    const auto it = table->entries.lower_bound(key);
    return it == table->entries.end() ? nullptr : &it->second->target;
  }
  for (; key < table->slots.size(); ++key)
    if (const Entry* entry = table->slots[key].load(std::memory_order_acquire); entry != nullptr)
      return &entry->target;
  return nullptr;
}

std::byte* RedirectMap::lookup(const std::byte* key, u32) noexcept {
  const Entry* entry = find(load<u32>(key));
  return reinterpret_cast<std::byte*>(const_cast<Entry*>(entry));  // programs only read it
}

int RedirectMap::copy_out(const std::byte* key, std::byte* value) noexcept {
  const rcu::Reader reader;
  const Entry* entry = find(load<u32>(key));
  if (entry == nullptr) return -ENOENT;
  std::memcpy(value, entry, facts_.value_size);
  return 0;
}

Result<std::unique_ptr<RedirectMap::Entry>> RedirectMap::make_entry(u32 key, const std::byte* value) const {
  auto entry = std::make_unique<Entry>();
  entry->value = entry->target.value = load<u32>(value);
  entry->target.key = key;
  const s32 fd = facts_.value_size == 8 ? load<s32>(value + 4) : 0;
  if (cpus_are_keys()) {
    constexpr u32 max_queue = 16384;
    if (entry->value > max_queue) return fail(EOVERFLOW);
    if (key >= cpus_) return fail(ENODEV);
    if (entry->value == 0) return std::unique_ptr<Entry>();  // the same as deleting
  } else {
    std::array<char, IF_NAMESIZE> name{};
    if (entry->value == 0) return fd > 0 ? Result<std::unique_ptr<Entry>>(fail(EINVAL)) : nullptr;
    if (::if_indextoname(entry->value, name.data()) == nullptr) return fail(EINVAL);
  }
  if (fd <= 0) return entry;
  if (objects_ == nullptr) return fail(EBADF);
  auto program = TRY(objects_->program(fd));
  constexpr auto devmap_program = static_cast<AttachType>(35), cpumap_program = static_cast<AttachType>(37);
  if (program->type != ProgType::xdp ||
      program->expected_attach_type != (cpus_are_keys() ? cpumap_program : devmap_program))
    return fail(EINVAL);
  entry->program_id = program->id;
  entry->target.program = std::move(program);
  return entry;
}

int RedirectMap::replace(u32 key, std::unique_ptr<Entry> fresh, u64 flags) {
  const std::lock_guard lock(mutex_);
  auto* table = const_cast<Table*>(table_.load(std::memory_order_relaxed));  // NOLINT: the writer's own
  const Entry* old = find(key);
  if (hash()) {
    if (old != nullptr && flags == uapi::NOEXIST) return -EEXIST;
    if (old == nullptr && fresh == nullptr) return -ENOENT;
    if (old == nullptr && count_.load(std::memory_order_relaxed) >= facts_.max_entries) return -E2BIG;
    auto* changed = new Table;
    changed->entries = table->entries;
    if (fresh != nullptr)
      changed->entries[key] = fresh.release();
    else
      changed->entries.erase(key);
    count_.store(static_cast<u32>(changed->entries.size()), std::memory_order_relaxed);
    table_.store(changed, std::memory_order_release);
    defer_delete(static_cast<const Table*>(table));
  } else {
    if (old == nullptr && fresh != nullptr) count_.fetch_add(1, std::memory_order_relaxed);
    if (old != nullptr && fresh == nullptr) count_.fetch_sub(1, std::memory_order_relaxed);
    table->slots[key].store(fresh.release(), std::memory_order_release);
  }
  defer_delete(old);
  return 0;
}

int RedirectMap::remove(const std::byte* key) noexcept {
  const u32 at = load<u32>(key);
  if (!hash() && at >= facts_.max_entries) return -EINVAL;
  return replace(at, nullptr, 0);
}

int RedirectMap::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  const u32 at = load<u32>(key);
  if (flags > uapi::EXIST) return -EINVAL;
  if (hash()) {
    if (load<u32>(value) == 0) return -EINVAL;
  } else {
    if (at >= facts_.max_entries) return -E2BIG;
    if (flags == uapi::NOEXIST) return -EEXIST;
  }
  auto fresh = make_entry(at, value);
  if (!fresh) return -fresh.error().code;
  return replace(at, *std::move(fresh), flags);
}

int RedirectMap::next_key(const std::byte* key, std::byte* next) noexcept {
  const rcu::Reader reader;
  if (!hash()) {
    const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
    if (index == facts_.max_entries - 1) return -ENOENT;
    store(next, index >= facts_.max_entries ? u32{0} : index + 1);
    return 0;
  }
  const Table* table = table_.load(std::memory_order_acquire);
  auto it = table->entries.begin();
  if (key != nullptr && table->entries.contains(load<u32>(key)))
    it = table->entries.upper_bound(load<u32>(key));
  if (it == table->entries.end()) return -ENOENT;
  store(next, it->first);
  return 0;
}

u64 RedirectMap::memlock() const {
  constexpr u64 kernels_entry = 64;  // struct bpf_dtab_netdev
  const u64 n = facts_.max_entries;
  if (cpus_are_keys()) return 304 + 8 * n;
  return 344 + 8 * (hash() ? u64{std::bit_ceil(facts_.max_entries)} : n) +
         kernels_entry * count_.load(std::memory_order_relaxed);
}

namespace {

/// dev_map_alloc_check()
Result<void> check_devmap(const MapSpec& spec) {
  if (auto ok = check_entries(spec); !ok) return ok;
  if (auto ok = check_key(spec, 4); !ok) return ok;
  if (auto ok = check_value_4_or_8(spec); !ok) return ok;
  if (spec.type == MapType::devmap_hash && spec.max_entries > 1u << 31)
    return fail(EINVAL, fmt::format("max_entries {} is too big", spec.max_entries));
  return check_flags(spec, reference_flags);
}

/// cpu_map_alloc(): as many entries as the kernel could have CPUs (CONFIG_NR_CPUS of the recorded machine).
Result<void> check_cpumap(const MapSpec& spec) {
  constexpr u32 nr_cpus = 256;
  if (auto ok = check_entries(spec); !ok) return ok;
  if (auto ok = check_key(spec, 4); !ok) return ok;
  if (auto ok = check_value_4_or_8(spec); !ok) return ok;
  if (auto ok = check_flags(spec, uapi::F_NUMA_NODE); !ok) return ok;
  if (spec.max_entries > nr_cpus)
    return fail(E2BIG, fmt::format("max_entries is {}, at most {}", spec.max_entries, nr_cpus));
  return {};
}

Result<MapRef> make(const MapSpec& spec, const Environment& environment) {
  SKEP_ASSERT(environment.percpu != nullptr);
  if (spec.type == MapType::devmap)
    if (auto ok = check_memory(8 * u64{spec.max_entries}); !ok) return std::unexpected(std::move(ok).error());
  return MapRef(std::make_shared<RedirectMap>(spec, environment));
}

}  // namespace

constinit const MapTypeRow devmap_row = {MapType::devmap, check_devmap, make, MapTypeRow::Btf::no};
constinit const MapTypeRow devmap_hash_row = {MapType::devmap_hash, check_devmap, make, MapTypeRow::Btf::no};
constinit const MapTypeRow cpumap_row = {MapType::cpumap, check_cpumap, make, MapTypeRow::Btf::no};

}  // namespace skep::maps
