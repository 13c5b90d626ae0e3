// What all map types share on the side of bpf(2): lengths, access, freezing, BPF_F_LOCK
// (map_lookup_elem() and its siblings of kernel/bpf/syscall.c). batch.cpp has the batch operations.
#include "maps/map.hpp"

#include <fmt/format.h>

#include "maps/facts_place.hpp"

namespace skep::maps {

Map::Map(const MapSpec& spec) {
  SKEP_ASSERT(reinterpret_cast<u64>(&facts_) - reinterpret_cast<u64>(this) == map_facts_offset);
  facts_.type = spec.type;
  facts_.key_size = spec.key_size;
  facts_.value_size = spec.value_size;
  facts_.max_entries = spec.max_entries;
  facts_.flags = spec.flags;
  facts_.map_extra = spec.map_extra;
  facts_.name = spec.name;
}

Map::~Map() = default;

MapRef Map::user_reference() {
  control_->user_references.fetch_add(1, std::memory_order_relaxed);
  return MapRef(this, [keep = shared_from_this()](Map* map) mutable {
    if (map->control_->user_references.fetch_sub(1, std::memory_order_acq_rel) == 1) map->on_user_release();
    keep.reset();
  });
}

void Map::set_inner(const Map& inner) {
  auto facts = std::make_unique<MapFacts>(inner.snapshot());
  facts->id = 0;
  facts->rodata = {};
  facts_.inner = facts.get();
  control_->inner = std::move(facts);
  control_->inner_companion = inner.companion;
}

bool Map::may_read() const { return (facts_.flags & uapi::F_WRONLY) == 0; }
bool Map::may_write() const {
  return (facts_.flags & uapi::F_RDONLY) == 0 && !frozen_.load(std::memory_order_acquire);
}

Result<void> Map::check_lock_flag(u64 flags) const {
  if ((flags & uapi::LOCK) != 0 && facts_.record.spin_lock_off < 0)
    return fail(EINVAL, "BPF_F_LOCK on a map without a bpf_spin_lock");
  return {};
}

std::unexpected<Error> Map::failed(int negative_errno, std::string_view operation) const {
  const int code = -negative_errno;
  std::string_view why;
  switch (code) {
    case ENOENT:
      why = "no such key";
      break;
    case EEXIST:
      why = "the key exists (BPF_NOEXIST)";
      break;
    case E2BIG:
      why = "the map is full, or the index is past its end";
      break;
    case EINVAL:
      why = "not for this type of map, or wrong flags";
      break;
    case kENOTSUPP:
      why = "not an operation of this type of map";
      break;
    case EOPNOTSUPP:
      why = "not an operation of this type of map, or not supported by skep";
      break;
    default:
      why = "failed";
      break;
  }
  return fail(code, fmt::format("map {} ({}) {}: {}", facts_.id, map_type_name(facts_.type), operation, why));
}

namespace {

Result<void> check_length(std::size_t given, u64 wanted, std::string_view what) {
  if (given != wanted)
    return fail(EINVAL, fmt::format("{} of {} bytes, the map has {}", what, given, wanted));
  return {};
}

std::unexpected<Error> no_access(std::string_view what) {
  return fail(EPERM, fmt::format("{} is not permitted: the map's flags, or it is frozen", what));
}

}  // namespace

#define SKEP_CHECK(...) \
  if (auto checked = (__VA_ARGS__); !checked) return std::unexpected(std::move(checked).error())

Result<void> Map::user_lookup(ByteView key, MutBytes value, u64 flags) {
  if ((flags & ~uapi::LOCK) != 0) return fail(EINVAL, "map lookup: unknown flags");
  if (!may_read()) return no_access("map lookup");
  SKEP_CHECK(check_lock_flag(flags));
  SKEP_CHECK(check_length(key.size(), facts_.key_size, "key"));
  SKEP_CHECK(check_length(value.size(), user_value_size(), "value"));
  if (const int error = copy_out(key.data(), value.data()); error != 0) return failed(error, "lookup");
  return {};
}

Result<void> Map::user_update(ByteView key, ByteView value, u64 flags) {
  // A freeze waits for updates under way (bpf_map_write_active_inc()).
  const std::lock_guard writing(control_->freeze_mutex);
  if (!may_write()) return no_access("map update");
  SKEP_CHECK(check_lock_flag(flags));
  SKEP_CHECK(check_length(key.size(), facts_.key_size, "key"));
  SKEP_CHECK(check_length(value.size(), user_value_size(), "value"));
  if (const int error = copy_in(key.data(), value.data(), flags); error != 0) return failed(error, "update");
  return {};
}

Result<void> Map::user_delete(ByteView key) {
  const std::lock_guard writing(control_->freeze_mutex);
  if (!may_write()) return no_access("map delete");
  SKEP_CHECK(check_length(key.size(), facts_.key_size, "key"));
  if (const int error = remove(key.data()); error != 0) return failed(error, "delete");
  return {};
}

Result<void> Map::user_next_key(ByteView key, MutBytes next) {
  if (!may_read()) return no_access("map get_next_key");
  if (!key.empty()) SKEP_CHECK(check_length(key.size(), facts_.key_size, "key"));
  SKEP_CHECK(check_length(next.size(), facts_.key_size, "next key"));
  const int error = next_key(key.empty() ? nullptr : key.data(), next.data());
  if (error != 0) return failed(error, "get_next_key");
  return {};
}

Result<void> Map::user_take(ByteView key, MutBytes value, u64 flags) {
  if ((flags & ~uapi::LOCK) != 0) return fail(EINVAL, "map lookup_and_delete: unknown flags");
  const std::lock_guard writing(control_->freeze_mutex);
  if (!may_read() || !may_write()) return no_access("map lookup_and_delete");
  SKEP_CHECK(check_lock_flag(flags));
  SKEP_CHECK(check_length(key.size(), facts_.key_size, "key"));
  SKEP_CHECK(check_length(value.size(), user_value_size(), "value"));
  if (const int error = take(key.data(), value.data()); error != 0) return failed(error, "lookup_and_delete");
  return {};
}

Result<void> Map::freeze() {
  const std::lock_guard freezing(control_->freeze_mutex);
  if (facts_.record.kinds != 0)
    return fail(kENOTSUPP, "freeze: a map with special fields in its values cannot be frozen");
  if (!may_write()) return no_access("freeze");
  SKEP_CHECK(on_freeze());
  facts_.frozen = true;
  frozen_.store(true, std::memory_order_release);
  return {};
}

Result<EventRing> Map::events(const EventSpec&) {
  return fail(EINVAL, fmt::format("map {}: only a perf_event_array has events", facts_.id));
}

Result<MapMemory> Map::memory() {
  return fail(EINVAL, fmt::format("map {}: only arrays made with BPF_F_MMAPABLE can be mapped", facts_.id));
}

std::byte* Map::lookup(const std::byte*, u32) noexcept { return nullptr; }
int Map::update(const std::byte*, const std::byte*, u64, u32) noexcept { return -EOPNOTSUPP; }
int Map::remove(const std::byte*) noexcept { return -kENOTSUPP; }
int Map::push(const std::byte*, u64) noexcept { return -EOPNOTSUPP; }
int Map::pop(std::byte*) noexcept { return -EOPNOTSUPP; }
int Map::peek(std::byte*) noexcept { return -EOPNOTSUPP; }
s64 Map::for_each(Visit, void*, u32) noexcept { return -EOPNOTSUPP; }
int Map::copy_out(const std::byte*, std::byte*) noexcept { return -kENOTSUPP; }
int Map::copy_in(const std::byte*, const std::byte*, u64) noexcept { return -kENOTSUPP; }
int Map::next_key(const std::byte*, std::byte*) noexcept { return -kENOTSUPP; }
int Map::take(const std::byte*, std::byte*) noexcept { return -kENOTSUPP; }

}  // namespace skep::maps
