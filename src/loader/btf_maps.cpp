// Maps of SEC(".maps"): each is a global variable of a struct type whose members say by their types what the
// map is like (__uint, __type, __array, __ulong of bpf_helpers.h).
#include <fmt/format.h>

#include <bit>

#include "loader/map_names.hpp"
#include "loader/reader.hpp"

namespace skep::loader {

namespace {

bool is_map_of_maps(MapType type) { return type == MapType::array_of_maps || type == MapType::hash_of_maps; }

/// Reads one struct into a MapDef.
class Definition {
 public:
  Definition(const btf::Btf& btf, MapDef& map, bool inner) : btf_(btf), map_(map), inner_(inner) {}

  Result<void> read(const btf::Type& definition) {
    std::span<const btf::Entry> members = btf_.entries(definition);
    for (const btf::Entry& member : members) {
      bool last = &member == &members.back();
      TRY(field(btf_.string(member.name_off), member.type, last));
    }
    if (map_.spec.type == MapType::unspec) return wrong("map type isn't specified");
    return {};
  }

 private:
  std::unexpected<Error> wrong(const std::string& what, int code = EINVAL) const {
    return fail(code, fmt::format("map '{}': {}.", map_.name, what));
  }
  const btf::Type& plain(u32 id) const { return btf_.type(btf_.skip_modifiers(id)); }

  /// __uint(name, value): int (*name)[value].
  Result<u32> number(std::string_view name, u32 id) const {
    const btf::Type& pointer = plain(id);
    if (pointer.kind != btf::Kind::ptr)
      return wrong(fmt::format("attr '{}': expected PTR, got {}", name, btf::kind_name(pointer.kind)));
    const btf::Type& array = btf_.type(pointer.type);
    if (array.kind != btf::Kind::array)
      return wrong(fmt::format("attr '{}': expected ARRAY, got {}", name, btf::kind_name(array.kind)));
    return array.nelems;
  }

  /// __uint or __ulong(name, value): enum { name = value }.
  Result<u64> long_number(std::string_view name, u32 id) const {
    const btf::Type& t = plain(id);
    if (t.kind == btf::Kind::ptr) return u64{TRY(number(name, id))};
    if (!btf::is_any_enum(t.kind))
      return wrong(fmt::format("attr '{}': expected ENUM or ENUM64, got {}", name, btf::kind_name(t.kind)));
    if (t.entry_count != 1) return wrong(fmt::format("attr '{}': invalid __ulong", name));
    return static_cast<u64>(btf_.entries(t)[0].value);
  }

  Result<void> set_size(const char* what, u32& size, u64 value) const {
    if (size != 0 && size != value)
      return wrong(fmt::format("conflicting {} size {} != {}", what, size, value));
    if (value > UINT32_MAX) return wrong(fmt::format("{} size {} is too large", what, value));
    size = static_cast<u32>(value);
    return {};
  }

  /// __type(key, T): T *key.
  Result<void> set_type(const char* what, u32 id, u32& size, u32& type_id) const {
    const btf::Type& pointer = btf_.type(id);
    if (pointer.kind != btf::Kind::ptr)
      return wrong(fmt::format("{} spec is not PTR: {}", what, btf::kind_name(pointer.kind)));
    Result<u64> bytes = btf_.size_of(pointer.type);
    if (!bytes) return wrong(fmt::format("can't determine {} size for type [{}]", what, pointer.type));
    TRY(set_size(what, size, *bytes));
    type_id = pointer.type;
    return {};
  }

  Result<void> field(std::string_view name, u32 id, bool last) {
    MapSpec& spec = map_.spec;
    if (name == "type") {
      spec.type = static_cast<MapType>(TRY(number(name, id)));
    } else if (name == "max_entries") {
      spec.max_entries = TRY(number(name, id));
    } else if (name == "map_flags") {
      spec.flags = TRY(number(name, id));
    } else if (name == "numa_node") {
      spec.numa_node = TRY(number(name, id));
    } else if (name == "key_size") {
      TRY(set_size("key", spec.key_size, TRY(number(name, id))));
    } else if (name == "value_size") {
      TRY(set_size("value", spec.value_size, TRY(number(name, id))));
    } else if (name == "key") {
      TRY(set_type("key", id, spec.key_size, spec.btf_key_type_id));
    } else if (name == "value") {
      TRY(set_type("value", id, spec.value_size, spec.btf_value_type_id));
    } else if (name == "values") {
      TRY(values(id, last));
    } else if (name == "pinning") {
      TRY(pinning(id));
    } else if (name == "map_extra") {
      spec.map_extra = TRY(long_number(name, id));
    } else {
      return wrong(fmt::format("unknown field '{}'", name), ENOTSUP);
    }
    return {};
  }

  Result<void> pinning(u32 id) {
    if (inner_) return wrong("inner def can't be pinned");
    u32 how = TRY(number("pinning", id));
    if (how > 1) return wrong(fmt::format("invalid pinning value {}", how));
    map_.pin_by_name = how == 1;
    return {};
  }

  /// __array(values, ...): the inner map's definition, or the programs of a prog_array.
  Result<void> values(u32 id, bool last) {
    bool maps = is_map_of_maps(map_.spec.type);
    if (inner_) return wrong("multi-level inner maps not supported", ENOTSUP);
    if (!last) return wrong("'values' member should be last");
    if (!maps && map_.spec.type != MapType::prog_array)
      return wrong("should be map-in-map or prog-array", ENOTSUP);
    TRY(set_size("value", map_.spec.value_size, 4));
    const char* what = maps ? "map-in-map inner" : "prog-array value";
    const btf::Type& array = btf_.type(id);
    if (array.kind != btf::Kind::array || array.nelems != 0)
      return wrong(fmt::format("{} spec is not a zero-sized array", what));
    const btf::Type& pointer = plain(array.type);
    const btf::Type& target = plain(pointer.type);
    bool fits =
        pointer.kind == btf::Kind::ptr && target.kind == (maps ? btf::Kind::struct_ : btf::Kind::func_proto);
    if (!fits)
      return wrong(fmt::format("{} def is of unexpected kind {}", what, btf::kind_name(target.kind)));
    if (!maps) return {};
    map_.inner = std::make_unique<MapDef>();
    map_.inner->name = map_.name + ".inner";
    map_.inner->section = map_.section;
    map_.inner->section_index = map_.section_index;
    map_.inner->spec.name = kernel_name(map_.inner->name);
    return Definition(btf_, *map_.inner, true).read(target);
  }

  const btf::Btf& btf_;
  MapDef& map_;
  bool inner_;
};

/// Ring buffers take powers of two of pages; libbpf rounds up what the program's author wrote.
u32 ringbuf_size(u32 size) {
  constexpr u32 page = 4096;
  if (size == 0 || (size % page == 0 && std::has_single_bit(size / page))) return size;
  for (u64 pages = 1; pages * page <= UINT32_MAX; pages *= 2) {
    if (pages * page > size) return static_cast<u32>(pages * page);
  }
  return size;
}

void settle(MapDef& map, const std::function<void(Level, const std::string&)>& say) {
  MapSpec& spec = map.spec;
  if (spec.type == MapType::ringbuf || spec.type == MapType::user_ringbuf)
    spec.max_entries = ringbuf_size(spec.max_entries);
  say(Level::debug, fmt::format("map '{}': found type = {}.", map.name, static_cast<u32>(spec.type)));
  auto sized = [&](const char* what, u32 id, u32 size) {
    if (id != 0)
      say(Level::debug, fmt::format("map '{}': found {} [{}], sz = {}.", map.name, what, id, size));
    else if (size != 0)
      say(Level::debug, fmt::format("map '{}': found {}_size = {}.", map.name, what, size));
  };
  sized("key", spec.btf_key_type_id, spec.key_size);
  sized("value", spec.btf_value_type_id, spec.value_size);
  if (spec.max_entries != 0)
    say(Level::debug, fmt::format("map '{}': found max_entries = {}.", map.name, spec.max_entries));
  if (spec.flags != 0)
    say(Level::debug, fmt::format("map '{}': found map_flags = 0x{:x}.", map.name, spec.flags));
  if (map.inner) say(Level::debug, fmt::format("map '{}': found inner map definition.", map.name));
}

}  // namespace

Result<void> Reader::collect_btf_maps() {
  if (maps_section_ == nullptr || !spec_.btf) return {};
  const btf::Btf& btf = *spec_.btf;
  maps_datasec_ = btf.find(btf::Kind::datasec, ".maps");
  if (maps_datasec_ == 0) return fail(ENOENT, "DATASEC '.maps' not found.");
  for (const btf::Entry& entry : btf.entries(btf.type(maps_datasec_))) {
    const btf::Type& var = btf.type(entry.type);
    MapDef map;
    map.name = btf.string(var.name_off);
    if (map.name.empty()) return fail(EINVAL, fmt::format("map #{}: empty name.", spec_.maps.size()));
    if (u64{entry.offset} + entry.size > maps_section_->size)
      return fail(EINVAL, fmt::format("map '{}' BTF data is corrupted.", map.name));
    if (var.kind != btf::Kind::var)
      return fail(EINVAL,
                  fmt::format("map '{}': unexpected var kind {}.", map.name, btf::kind_name(var.kind)));
    if (var.linkage != btf::linkage_global)
      return fail(EOPNOTSUPP, fmt::format("map '{}': unsupported map linkage {}.", map.name,
                                          var.linkage == btf::linkage_static ? "static" : "extern"));
    const btf::Type& definition = btf.type(btf.skip_modifiers(var.type));
    if (definition.kind != btf::Kind::struct_)
      return fail(EINVAL, fmt::format("map '{}': unexpected def kind {}.", map.name,
                                      btf::kind_name(definition.kind)));
    if (definition.size > entry.size)
      return fail(EINVAL, fmt::format("map '{}': invalid def size.", map.name));
    map.section = ".maps";
    map.section_index = maps_section_->index;
    map.section_offset = entry.offset;
    map.spec.name = kernel_name(map.name);
    say(Level::debug,
        fmt::format("map '{}': at sec_idx {}, offset {}.", map.name, map.section_index, entry.offset));
    TRY(Definition(btf, map, false).read(definition));
    auto message = [this](Level level, const std::string& text) { say(level, text); };
    settle(map, message);
    if (map.inner) settle(*map.inner, message);
    spec_.maps.push_back(std::move(map));
  }
  return {};
}

}  // namespace skep::loader
