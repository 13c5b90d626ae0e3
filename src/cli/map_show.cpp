// `map show`: what the kernel knows of maps.
#include "cli/map_view.hpp"
#include "cli/prog_view.hpp"
#include "cli/show_list.hpp"

namespace skep::cli {

namespace {

void print_plain(Cli& cli, const MapView& view) {
  const MapInfo& info = view.info;
  print_map_header(cli, info);
  cli.print("\tkey {}B  value {}B  max_entries {}", info.key_size, info.value_size, info.max_entries);
  if (info.bytes_memlock != 0) cli.print("  memlock {}B", info.bytes_memlock);
  if (info.type == MapType::prog_array && info.owner_prog_type)
    cli.print("\n\towner_prog_type {}  owner{} jited", prog_type_word(*info.owner_prog_type),
              info.owner_jited ? "" : " not");
  for (const std::string& pin : view.pins) cli.print("\n\tpinned {}", pin);
  if (info.btf_id != 0 || info.frozen) cli.print("\n\t");
  if (info.btf_id != 0) cli.print("btf_id {}", info.btf_id);
  if (info.frozen) cli.print("{}frozen", info.btf_id != 0 ? "  " : "");
  cli.print("\n");
}

void print_json(JsonWriter& json, const MapView& view) {
  const MapInfo& info = view.info;
  json.begin_object();
  print_map_header(json, info);
  print_device(json, info.ifindex, info.netns_dev, info.netns_ino);
  json.field("bytes_key", info.key_size);
  json.field("bytes_value", info.value_size);
  json.field("max_entries", info.max_entries);
  if (info.bytes_memlock != 0) json.field("bytes_memlock", info.bytes_memlock);
  if (info.type == MapType::prog_array && info.owner_prog_type) {
    json.field("owner_prog_type", std::string_view(prog_type_word(*info.owner_prog_type)));
    json.field("owner_jited", info.owner_jited);
  }
  json.field("frozen", u32{info.frozen ? 1u : 0u});
  if (info.btf_id != 0) json.field("btf_id", info.btf_id);
  if (view.show_pins) write_pins(json, view.pins);
  json.end_object();
}

}  // namespace

void print_map_header(Cli& cli, const MapInfo& info) {
  const std::string_view type = map_type_name(info.type);
  if (type.empty()) {
    cli.print("{}: type {}  ", info.id, static_cast<u32>(info.type));
  } else {
    cli.print("{}: {}  ", info.id, type);
  }
  if (!info.name.empty()) cli.print("name {}  ", info.name);
  cli.print("flags 0x{:x}", info.flags);
  print_device(cli, info.ifindex, info.netns_dev, info.netns_ino);
  cli.print("\n");
}

void print_map_header(JsonWriter& json, const MapInfo& info) {
  json.field("id", info.id);
  const std::string_view type = map_type_name(info.type);
  if (type.empty()) {
    json.field("type", static_cast<u32>(info.type));
  } else {
    json.field("type", type);
  }
  if (!info.name.empty()) json.field("name", std::string_view(info.name));
  json.field("flags", info.flags);
}

Outcome<void> map_show(Cli& cli, Args args) {
  auto list = TRY(gather_shown<MapRef>(cli, args, ObjectKind::map, "map", take_maps, info_of_map));
  const bool as_list = cli.json_output() && list.as_list;
  if (as_list) cli.json().begin_array();
  for (MapRef& map : list.objects) {
    const u32 id = map.info.id;
    const MapView view{std::move(map.info), !list.pins.empty(), pins_of(list.pins, id)};
    if (cli.json_output()) {
      print_json(cli.json(), view);
    } else {
      print_plain(cli, view);
    }
  }
  if (as_list) cli.json().end_array();
  return {};
}

}  // namespace skep::cli
