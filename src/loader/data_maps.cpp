// Global variables: one array map of one element for each data section, named and flagged as libbpf does.
#include <fmt/format.h>

#include <algorithm>

#include "base/limits.hpp"
#include "loader/map_names.hpp"
#include "loader/reader.hpp"

namespace skep::loader {

std::string kernel_name(std::string_view name) {
  return std::string(name.substr(0, limits::obj_name_len - 1));
}

std::string data_map_name(std::string_view object, std::string_view section) {
  constexpr std::size_t room = limits::obj_name_len - 1;
  // A short section name still takes the room of ".rodata", so that all maps of an object have the same
  // prefix.
  std::size_t suffix = std::min(room, std::max<std::size_t>(7, section.size()));
  std::size_t prefix = section.find('.', 1) == std::string_view::npos ? room - suffix : 0;
  std::string name = std::string(object.substr(0, prefix)) + std::string(section.substr(0, suffix));
  for (char& c : name) {
    bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
    if (!allowed) c = '_';
  }
  return name;
}

void Reader::add_data_map(MapOrigin origin, const std::string& section, u32 index,
                          std::vector<std::byte> data) {
  MapDef map;
  std::string short_name = data_map_name(spec_.name, section);
  // Users know custom sections by their full name, which kernels have no room for.
  bool custom = (origin == MapOrigin::data && section != ".data") ||
                (origin == MapOrigin::rodata && section != ".rodata");
  map.name = custom ? section : short_name;
  map.section = section;
  map.origin = origin;
  map.section_index = index;
  map.spec.type = MapType::array;
  map.spec.key_size = 4;
  map.spec.value_size = static_cast<u32>(data.size());
  map.spec.max_entries = 1;
  map.spec.name = short_name;
  map.spec.flags = origin == MapOrigin::rodata || origin == MapOrigin::kconfig ? uapi::F_RDONLY_PROG : 0;
  if (spec_.btf) {
    const btf::Btf& btf = *spec_.btf;
    u32 datasec = btf.find(btf::Kind::datasec, section);
    map.spec.btf_value_type_id = datasec;
    // Mapped into user space only if some variable is there for others to see.
    for (const btf::Entry& entry : btf.entries(btf.type(datasec))) {
      const btf::Type& var = btf.type(entry.type);
      if (var.kind == btf::Kind::var && var.linkage != btf::linkage_static)
        map.spec.flags |= uapi::F_MMAPABLE;
    }
  }
  map.initial = std::move(data);
  say(Level::debug, fmt::format("map '{}' (global data): at sec_idx {}, offset 0, flags {:x}.", short_name,
                                index, map.spec.flags));
  say(Level::debug, fmt::format("map {} is \"{}\"", spec_.maps.size(), short_name));
  spec_.maps.push_back(std::move(map));
}

Result<void> Reader::collect_data_maps() {
  for (auto [index, kind] : data_sections_) {
    const Section& section = *elf_.section(index);
    if (section.size > (1u << 30))
      return fail(E2BIG,
                  fmt::format("sec '{}': {} bytes are more than a map can hold", section.name, section.size));
    std::vector<std::byte> data(section.data.begin(), section.data.end());
    data.resize(section.size);
    MapOrigin origin = kind == DataKind::bss      ? MapOrigin::bss
                       : kind == DataKind::rodata ? MapOrigin::rodata
                                                  : MapOrigin::data;
    add_data_map(origin, section.name, index, std::move(data));
  }
  return {};
}

Result<void> Reader::collect_kconfig_map() {
  u32 size = 0;
  for (const Extern& ext : spec_.externs) {
    if (ext.kind == ExternKind::kconfig) size = std::max(size, ext.offset + ext.size);
  }
  if (size == 0) return {};
  spec_.kconfig_map = static_cast<u32>(spec_.maps.size());
  add_data_map(MapOrigin::kconfig, ".kconfig", elf_.symbols_section(), std::vector<std::byte>(size));
  return {};
}

}  // namespace skep::loader
