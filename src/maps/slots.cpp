// See slots.hpp.
#include "maps/slots.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "base/rcu.hpp"
#include "maps/checks.hpp"
#include "maps/placement.hpp"

namespace skep::maps {

static_assert(offsetof(ProgramRef, run) == 0 && offsetof(ProgramRef, self) == 8,
              "as machine code reads them");

SlotArray::~SlotArray() = default;

std::atomic<void*>* SlotArray::slots() const {
  auto* here = reinterpret_cast<std::byte*>(const_cast<SlotArray*>(this));
  return reinterpret_cast<std::atomic<void*>*>(here + array_values_offset);
}

void* SlotArray::at(u32 index) const {
  return index < facts_.max_entries ? slots()[index].load(std::memory_order_acquire) : nullptr;
}

int SlotArray::replace(u32 index, Reference fresh) {
  std::shared_ptr<const void> old;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->kept.size() <= index) state_->kept.resize(u64{index} + 1);
    old = std::exchange(state_->kept[index], std::move(fresh.keep));
    slots()[index].store(fresh.address, std::memory_order_release);
    for (const auto& [slot, watcher] : state_->watchers)
      if (slot == index) watcher->slot_changed(fresh.address);
  }
  if (old == nullptr) return fresh.address == nullptr ? -ENOENT : 0;
  rcu::defer(new std::shared_ptr<const void>(std::move(old)),
             [](void* gone) { delete static_cast<std::shared_ptr<const void>*>(gone); });
  return 0;
}

void SlotArray::clear() {
  for (u32 i = 0; i < facts_.max_entries; ++i)
    if (at(i) != nullptr) replace(i, {});
}

int SlotArray::remove(const std::byte* key) noexcept {
  const u32 index = load<u32>(key);
  if (index >= facts_.max_entries) return -E2BIG;
  return replace(index, {});
}

int SlotArray::copy_out(const std::byte* key, std::byte* value) noexcept {
  const rcu::Reader reader;
  const void* object = at(load<u32>(key));
  if (object == nullptr) return -ENOENT;
  store(value, id_of(object));
  return 0;
}

int SlotArray::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  if (flags != uapi::ANY) return -EINVAL;
  const u32 index = load<u32>(key);
  if (index >= facts_.max_entries) return -E2BIG;
  auto object = resolve(load<s32>(value));
  if (!object) return -object.error().code;
  return replace(index, *std::move(object));
}

int SlotArray::next_key(const std::byte* key, std::byte* next) noexcept {
  const u32 index = key == nullptr ? UINT32_MAX : load<u32>(key);
  if (index == facts_.max_entries - 1) return -ENOENT;
  store(next, index >= facts_.max_entries ? u32{0} : index + 1);
  return 0;
}

Result<void> ProgArray::check_owner(const ProgramRef& program) {
  const ProgramOwner like{program.type, program.expected_attach_type, program.jited, program.xdp_has_frags,
                          program.sleepable};
  const std::lock_guard lock(state_->mutex);
  if (!state_->owner) state_->owner = like;
  if (*state_->owner == like) return {};
  return fail(EINVAL, fmt::format("a {} program does not go with the programs of prog_array {} ({})",
                                  prog_type_name(like.type), facts_.id, prog_type_name(state_->owner->type)));
}

std::optional<ProgramOwner> ProgArray::owner() const {
  const std::lock_guard lock(state_->mutex);
  return state_->owner;
}

void ProgArray::watch(u32 index, SlotWatcher& watcher) {
  const std::lock_guard lock(state_->mutex);
  state_->watchers.emplace_back(index, &watcher);
  watcher.slot_changed(at(index));
}
void ProgArray::unwatch(SlotWatcher& watcher) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->watchers, [&](const auto& entry) { return entry.second == &watcher; });
}

Result<SlotArray::Reference> ProgArray::resolve(int fd) {
  if (objects_ == nullptr) return fail(EBADF);
  auto program = TRY(objects_->program(fd));
  if (auto ok = check_owner(*program); !ok) return std::unexpected(std::move(ok).error());
  auto* address = const_cast<ProgramRef*>(program.get());  // the slot type is void*; nobody writes
  return Reference{address, std::move(program)};
}

bool equals_inner(const MapFacts& inner, const MapFacts& map) {
  if (inner.type != map.type || inner.key_size != map.key_size || inner.value_size != map.value_size ||
      inner.flags != map.flags || inner.record.kinds != map.record.kinds)
    return false;
  // array_map_meta_equal(): inlined lookups have the template's bound.
  const bool any_size = inner.type != MapType::array || (inner.flags & uapi::F_INNER_MAP) != 0;
  return any_size || inner.max_entries == map.max_entries;
}

namespace {

/// Lookups by programs give the inner map itself.
class ArrayOfMaps final : public SlotArray {
 public:
  ArrayOfMaps(const MapSpec& spec, Objects* objects) : SlotArray(spec), objects_(objects) {}
  std::byte* lookup(const std::byte* key, u32) noexcept override {
    return static_cast<std::byte*>(at(load<u32>(key)));
  }

 protected:
  u32 id_of(const void* object) const override { return static_cast<const Map*>(object)->facts().id; }
  Result<Reference> resolve(int fd) override {
    if (objects_ == nullptr) return fail(EBADF);
    MapRef map = TRY(objects_->map(fd));
    if (!equals_inner(*facts_.inner, map->facts())) return fail(EINVAL);
    void* address = map.get();
    return Reference{address, std::move(map)};
  }
  bool has_batch(Batch batch) const override { return batch == Batch::lookup || batch == Batch::update; }

 private:
  Objects* objects_;
};

/// Control groups, by descriptors of their directories in the unified hierarchy (cgroup_fd_array_get_ptr()).
class CgroupArray final : public SlotArray {
 public:
  CgroupArray(const MapSpec& spec, Objects*) : SlotArray(spec) {}
  /// For helpers: a const UniqueFd*, or nullptr.
  std::byte* lookup(const std::byte* key, u32) noexcept override {
    return static_cast<std::byte*>(at(load<u32>(key)));
  }

 protected:
  u32 id_of(const void*) const override { return 0; }
  int copy_out(const std::byte*, std::byte*) noexcept override { return -kENOTSUPP; }
  Result<Reference> resolve(int fd) override {
    struct statfs filesystem{};
    if (::fstatfs(fd, &filesystem) != 0 || filesystem.f_type != CGROUP2_SUPER_MAGIC)
      return fail(EBADF, "the value is no control group's descriptor");
    UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) return fail_errno("a control group");
    auto kept = std::make_shared<UniqueFd>(std::move(copy));
    void* address = kept.get();
    return Reference{address, std::move(kept)};
  }
};

Result<void> check(const MapSpec& spec) {
  if (auto ok = check_entries(spec); !ok) return ok;
  if (auto ok = check_key(spec, 4); !ok) return ok;
  if (auto ok = check_value(spec, 4); !ok) return ok;
  return check_flags(spec, reference_flags);
}

template <class T>
Result<MapRef> make(const MapSpec& spec, const Environment& environment) {
  static_assert(sizeof(T) <= prog_array_count_offset);
  const u64 size = array_values_offset + 8 * u64{spec.max_entries};
  auto memory = TRY(Mapping::map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                 -1, 0, "slots"));
  store(memory.data() + prog_array_count_offset, u64{spec.max_entries});
  return MapRef(place<T>(std::move(memory), 0, spec, environment.objects));
}

}  // namespace

constinit const MapTypeRow prog_array_row = {MapType::prog_array, check, make<ProgArray>,
                                             MapTypeRow::Btf::any};
constinit const MapTypeRow array_of_maps_row = {MapType::array_of_maps, check, make<ArrayOfMaps>,
                                                MapTypeRow::Btf::no};
constinit const MapTypeRow cgroup_array_row = {MapType::cgroup_array, check, make<CgroupArray>,
                                               MapTypeRow::Btf::no};

}  // namespace skep::maps
