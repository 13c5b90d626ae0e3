// Maps of UserKernel: made with their BTF, found by descriptor; what is done to elements is maps/'s.
#include <fmt/format.h>

#include "fixup/object_types.hpp"
#include "maps/slots.hpp"
#include "runtime/map_btf.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

/// A map's companion: its BTF lives as long as the map.
struct MapBtf {
  std::shared_ptr<BtfObject> btf;
  u32 key_type_id = 0;
  u32 value_type_id = 0;
  fixup::ObjectTypeSet types;  ///< of what values own
};

}  // namespace

Result<maps::MapRef> UserKernel::MapObjects::map(int fd) { return kernel_.map(fd); }
Result<std::shared_ptr<const maps::ProgramRef>> UserKernel::MapObjects::program(int fd) {
  return std::make_shared<const maps::ProgramRef>(program_ref(TRY(kernel_.program(fd))));
}

Result<Handle> UserKernel::map_create(const MapSpec& spec) {
  maps::MapRef made = TRY(maps::create(spec, {percpu_.get(), &map_objects_}));
  if (spec.btf_key_type_id != 0 || spec.btf_value_type_id != 0) {
    auto object = TRY(btf(spec.btf_fd));
    if (auto ok = check_map_btf(spec, object->btf, made->mutable_facts()); !ok)
      return std::unexpected(std::move(ok).error());
    auto of_map = std::make_shared<MapBtf>(MapBtf{std::move(object), spec.btf_key_type_id,
                                                  spec.btf_value_type_id, fixup::ObjectTypeSet(kernel_btf_)});
    const maps::MapFacts& facts = made->facts();
    const auto* type = of_map->types.of_value(of_map->btf->btf, facts.record, facts.value_size);
    if (type != nullptr) made->set_value_type(*type);
    made->companion = std::move(of_map);
  }
  const Lock lock(mutex_);
  made->mutable_facts().id = maps_.add(made);
  return open(ObjectKind::map, made->user_reference());
}

Result<MapInfo> UserKernel::map_info(int fd) {
  const auto held = TRY(described<maps::Map>(fd, ObjectKind::map));
  const maps::MapFacts facts = held->snapshot();
  MapInfo info;
  info.type = facts.type;
  info.id = facts.id;
  info.key_size = facts.key_size;
  info.value_size = facts.value_size;
  info.max_entries = facts.max_entries;
  info.flags = facts.flags;
  info.name = facts.name;
  info.map_extra = facts.map_extra;
  info.bytes_memlock = held->memlock();
  info.frozen = facts.frozen;
  if (facts.type == MapType::prog_array)
    if (const auto owner = static_cast<const maps::ProgArray&>(*held).owner()) {
      info.owner_prog_type = owner->type;
      info.owner_jited = owner->jited;
    }
  if (const auto of_map = std::static_pointer_cast<const MapBtf>(held->companion); of_map != nullptr) {
    info.btf_id = of_map->btf->id;
    info.btf_key_type_id = of_map->key_type_id;
    info.btf_value_type_id = of_map->value_type_id;
  }
  return info;
}

Result<void> UserKernel::map_lookup_elem(int fd, ByteView key, MutBytes value, u64 flags) {
  return TRY(map(fd))->user_lookup(key, value, flags);
}
Result<void> UserKernel::map_update_elem(int fd, ByteView key, ByteView value, u64 flags) {
  return TRY(map(fd))->user_update(key, value, flags);
}
Result<void> UserKernel::map_delete_elem(int fd, ByteView key) { return TRY(map(fd))->user_delete(key); }
Result<void> UserKernel::map_get_next_key(int fd, ByteView key, MutBytes next_key) {
  return TRY(map(fd))->user_next_key(key, next_key);
}
Result<void> UserKernel::map_lookup_and_delete_elem(int fd, ByteView key, MutBytes value, u64 flags) {
  return TRY(map(fd))->user_take(key, value, flags);
}
Result<void> UserKernel::map_freeze(int fd) { return TRY(map(fd))->freeze(); }
Result<BatchResult> UserKernel::map_lookup_batch(int fd, ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                                 MutBytes values, u32 max_count, u64 elem_flags,
                                                 bool and_delete) {
  return TRY(map(fd))->user_lookup_batch(in_batch, out_batch, keys, values, max_count, elem_flags,
                                         and_delete);
}
Result<void> UserKernel::map_update_batch(int fd, ByteView keys, ByteView values, u32 count, u64 elem_flags,
                                          u32& done) {
  return TRY(map(fd))->user_update_batch(keys, values, count, elem_flags, done);
}
Result<void> UserKernel::map_delete_batch(int fd, ByteView keys, u32 count, u32& done) {
  return TRY(map(fd))->user_delete_batch(keys, count, done);
}
Result<EventRing> UserKernel::map_events(int fd, const EventSpec& spec) {
  const maps::MapRef of = TRY(map(fd));
  if (const u32 cpus = TRY(possible_cpus()); spec.cpu >= cpus)
    return fail(ENODEV, fmt::format("there is no CPU {}: programs run on {}", spec.cpu, cpus));
  return of->events(spec);
}
Result<MapMemory> UserKernel::map_memory(int fd) { return TRY(map(fd))->memory(); }

}  // namespace skep::runtime
