// Maps on the kernel: created, or found by pin or by the caller's wish; given their first contents; frozen.
#include <fmt/format.h>

#include "loader/loading.hpp"

namespace skep::loader {

namespace {

bool is_map_of_maps(MapType type) { return type == MapType::array_of_maps || type == MapType::hash_of_maps; }

/// Types whose maps the kernel lets have no BTF of key and value.
bool without_btf(MapType type) {
  switch (type) {
    case MapType::perf_event_array:
    case MapType::cgroup_array:
    case MapType::stack_trace:
    case MapType::array_of_maps:
    case MapType::hash_of_maps:
    case MapType::devmap:
    case MapType::devmap_hash:
    case MapType::cpumap:
    case MapType::xskmap:
    case MapType::sockmap:
    case MapType::sockhash:
    case MapType::queue:
    case MapType::stack:
    case MapType::arena:
      return true;
    default:
      return false;
  }
}

bool same_shape(const MapSpec& want, const MapInfo& have) {
  u32 flags = have.flags;
  // Device maps are always read-only to programs, which the kernel reports but nobody asks for.
  if (want.type == MapType::devmap || want.type == MapType::devmap_hash) flags &= ~uapi::F_RDONLY_PROG;
  return have.type == want.type && have.key_size == want.key_size && have.value_size == want.value_size &&
         have.max_entries == want.max_entries && flags == want.flags && have.map_extra == want.map_extra;
}

}  // namespace

Result<void> Loading::create_maps() {
  for (const MapReuse& reuse : options_.reuse) {
    if (reuse.index >= spec_.maps.size())
      return failed(EINVAL, fmt::format("map idx '{}' not used", reuse.index));
  }
  maps_.resize(spec_.maps.size());
  out_.maps.resize(spec_.maps.size());
  for (u32 i = 0; i < spec_.maps.size(); ++i) {
    Result<void> created = create_map(i);
    if (!created)
      return failed(created.error().code, fmt::format("map '{}': failed to create: {}", spec_.maps[i].name,
                                                      errno_name(created.error().code)));
  }
  return {};
}

Result<void> Loading::create_map(u32 index) {
  const MapDef& def = spec_.maps[index];
  Map& map = maps_[index];
  map.spec.type = def.spec.type;
  out_.maps[index].name = def.name;
  for (const MapReuse& reuse : options_.reuse) {
    if (reuse.index != index) continue;
    map.fd = reuse.map_fd;
    map.reused = true;
    say(Level::debug, fmt::format("map '{}': skipping creation (preset fd={})", def.name, map.fd));
    return {};
  }
  map.spec = def.spec;
  map.spec.ifindex = def.spec.type == MapType::perf_event_array ? 0 : options_.ifindex;
  if (map.spec.type == MapType::perf_event_array && map.spec.max_entries == 0) {
    map.spec.max_entries = TRY(kernel_.possible_cpus());
    say(Level::debug, fmt::format("map '{}': setting size to {}", def.name, map.spec.max_entries));
  }
  if (def.pin_by_name && !options_.ignore_pins) {
    map.pin_path = options_.pin_root + "/" + def.name;
    if (TRY(reuse_pinned(index))) return {};
  }
  Handle inner;  // the template has done its duty once the outer map is there
  if (is_map_of_maps(map.spec.type) && def.inner) {
    Result<Handle> made = create_on_kernel(*def.inner, def.inner->spec);
    if (!made)
      return failed(made.error().code, fmt::format("map '{}': failed to create inner map: {}", def.name,
                                                   errno_name(made.error().code)));
    inner = std::move(*made);
    map.spec.inner_map_fd = inner.fd();
  }
  out_.maps[index].handle = TRY(create_on_kernel(def, map.spec));
  map.fd = out_.maps[index].handle.fd();
  say(Level::debug, fmt::format("map '{}': created successfully, fd={}", def.name, map.fd));
  if (is_internal(def.origin)) TRY(fill_internal(def, map.fd));
  if (is_map_of_maps(map.spec.type)) TRY(fill_slots(index));
  if (map.pin_path.empty()) return {};
  Result<void> pinned = pins_.pin(map.fd, ObjectKind::map, map.pin_path);
  if (pinned) return {};
  // Someone else may have pinned one in the meantime.
  if (pinned.error().code == EEXIST && TRY(reuse_pinned(index))) return {};
  return failed(pinned.error().code, fmt::format("map '{}': failed to auto-pin at '{}': {}", def.name,
                                                 map.pin_path, errno_name(pinned.error().code)));
}

/// Takes the map that is pinned under this one's name; false if none is.
Result<bool> Loading::reuse_pinned(u32 index) {
  Map& map = maps_[index];
  Result<Handle> found = kernel_.obj_get(map.pin_path);
  if (!found && found.error().code == ENOENT) {
    say(Level::debug, fmt::format("found no pinned map to reuse at '{}'", map.pin_path));
    return false;
  }
  if (!found)
    return failed(found.error().code, fmt::format("couldn't retrieve pinned map '{}': {}", map.pin_path,
                                                  errno_name(found.error().code)));
  bool fits = found->kind() == ObjectKind::map;
  if (fits) fits = same_shape(map.spec, TRY(kernel_.map_info(found->fd())));
  if (!fits) {
    say(Level::warning, fmt::format("couldn't reuse pinned map at '{}': parameter mismatch", map.pin_path));
    return failed(EINVAL, fmt::format("map '{}': error reusing pinned map", spec_.maps[index].name));
  }
  say(Level::debug, fmt::format("reused pinned map at '{}'", map.pin_path));
  out_.maps[index].handle = std::move(*found);
  map.fd = out_.maps[index].handle.fd();
  map.reused = true;
  return true;
}

Result<Handle> Loading::create_on_kernel(const MapDef& def, MapSpec spec) {
  auto drop_btf = [&] {
    spec.btf_fd = -1;
    spec.btf_key_type_id = spec.btf_value_type_id = 0;
  };
  spec.btf_fd = out_.btf ? out_.btf.fd() : -1;
  if (!out_.btf || without_btf(spec.type)) drop_btf();
  Result<Handle> made = kernel_.map_create(spec);
  if (!made && (spec.btf_key_type_id != 0 || spec.btf_value_type_id != 0)) {
    say(Level::warning, fmt::format("map '{}': failed to create with BTF: {}. Retrying without BTF.",
                                    def.name, errno_name(made.error().code)));
    drop_btf();
    made = kernel_.map_create(spec);
  }
  // Our own kernel's sentence says what an errno cannot ("map type lpm_trie is not supported by skep").
  if (!made && !made.error().what.empty())
    say(kernel_.kernel_name() == "linux" ? Level::debug : Level::warning,
        fmt::format("map '{}': {}", def.name, made.error().what));
  return made;
}

Result<void> Loading::fill_internal(const MapDef& def, int fd) {
  u32 zero = 0;
  ByteView contents = def.origin == MapOrigin::kconfig ? ByteView(kconfig_) : ByteView(def.initial);
  if (Result<void> set = kernel_.map_update_elem(fd, bytes_of(zero), contents, uapi::ANY); !set)
    return failed(set.error().code, fmt::format("map '{}': failed to set initial contents: {}", def.name,
                                                errno_name(set.error().code)));
  if (def.origin != MapOrigin::rodata && def.origin != MapOrigin::kconfig) return {};
  if (Result<void> frozen = kernel_.map_freeze(fd); !frozen)
    return failed(frozen.error().code, fmt::format("map '{}': failed to freeze as read-only: {}", def.name,
                                                   errno_name(frozen.error().code)));
  return {};
}

/// The references that a map of maps or a prog_array starts with.
Result<void> Loading::fill_slots(u32 index) {
  const MapDef& def = spec_.maps[index];
  for (const InitialSlot& slot : def.slots) {
    bool maps = is_map_of_maps(def.spec.type);
    int fd = -1;
    std::string_view name;
    if (maps) {
      fd = maps_[slot.target].fd;
      name = spec_.maps[slot.target].name;
    } else {
      name = spec_.programs[slot.target].name;
      for (const Program& program : programs_) {
        if (program.def == &spec_.programs[slot.target]) fd = program.handle.fd();
      }
    }
    u32 key = slot.index, value = static_cast<u32>(fd);
    Result<void> set = kernel_.map_update_elem(maps_[index].fd, bytes_of(key), bytes_of(value), uapi::ANY);
    const char* what = maps ? "map" : "prog";
    if (!set)
      return failed(set.error().code,
                    fmt::format("map '{}': failed to initialize slot [{}] to {} '{}' fd={}: {}", def.name,
                                slot.index, what, name, fd, errno_name(set.error().code)));
    say(Level::debug,
        fmt::format("map '{}': slot [{}] set to {} '{}' fd={}", def.name, slot.index, what, name, fd));
  }
  return {};
}

}  // namespace skep::loader
