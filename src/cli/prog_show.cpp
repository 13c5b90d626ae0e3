// `prog show`: what the kernel knows of programs.
#include <net/if.h>
#include <sys/stat.h>
#include <time.h>

#include <array>

#include "btf/print.hpp"
#include "cli/prog_view.hpp"
#include "cli/show_list.hpp"

namespace skep::cli {

namespace {

constexpr std::string_view kMetadataPrefix = "bpf_metadata_";

/// The wall-clock second of a CLOCK_BOOTTIME instant.
s64 wall_clock_of(u64 boot_time_ns) {
  timespec real{};
  timespec boot{};
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return (real.tv_sec - boot.tv_sec) +
         (real.tv_nsec - boot.tv_nsec + static_cast<s64>(boot_time_ns)) / 1'000'000'000;
}

std::string local_time(s64 seconds) {
  const time_t when = seconds;
  tm parts{};
  std::array<char, 64> text{};
  if (localtime_r(&when, &parts) == nullptr) return fmt::format("{}", seconds);
  const std::size_t n = strftime(text.data(), text.size(), "%FT%T%z", &parts);
  return {text.data(), n};
}

/// Fills in the metadata variables of the program's .rodata; a program without them is the usual case, and
/// nothing that goes wrong here is worth more than leaving them out.
void find_metadata(Kernel& kernel, ProgramView& view) {
  for (const u32 id : view.info.map_ids) {
    const auto map = kernel.get_fd_by_id(ObjectKind::map, id);
    if (!map) return;
    const auto info = kernel.map_info(map->fd());
    if (!info) return;
    if (info->type != MapType::array || info->key_size != 4 || info->max_entries != 1 ||
        info->btf_value_type_id == 0 || info->name.find(".rodata") == std::string::npos)
      continue;
    std::vector<std::byte> value(info->value_size);
    const u32 key = 0;
    if (!kernel.map_lookup_elem(map->fd(), bytes_of(key), value)) return;
    auto loaded = load_btf(kernel, info->btf_id);
    if (!loaded) return;
    const btf::Btf& types = (*loaded)->btf;
    const btf::Type& section = types.type(info->btf_value_type_id);
    if (section.kind != btf::Kind::datasec) return;
    for (const btf::Entry& entry : types.entries(section)) {
      const btf::Type& variable = types.type(entry.type);
      const std::string_view name = types.string(variable.name_off);
      if (!name.starts_with(kMetadataPrefix) || entry.offset > value.size()) continue;
      view.metadata.push_back({std::string(name.substr(kMetadataPrefix.size())),
                               variable.type,
                               {value.begin() + entry.offset, value.end()}});
    }
    view.metadata_btf = std::move(*loaded);
    return;
  }
}

void print_plain(Cli& cli, const ProgramView& view) {
  const ProgramInfo& info = view.info;
  print_program_header(cli, info, view.name);
  if (info.load_time_ns != 0) cli.print("\tloaded_at {}  uid {}\n", view.loaded_at, info.created_by_uid);
  cli.print("\txlated {}B", info.xlated_len);
  if (info.jited_len != 0) {
    cli.print("  jited {}B", info.jited_len);
  } else {
    cli.print("  not jited");
  }
  if (info.bytes_memlock != 0) cli.print("  memlock {}B", info.bytes_memlock);
  if (info.orphaned) cli.print("  orphaned");
  for (std::size_t i = 0; i < info.map_ids.size(); ++i)
    cli.print("{}{}", i == 0 ? "  map_ids " : ",", info.map_ids[i]);
  for (const std::string& pin : view.pins) cli.print("\n\tpinned {}", pin);
  if (info.btf_id != 0) cli.print("\n\tbtf_id {}", info.btf_id);
  cli.print("\n");
  if (view.metadata.empty()) return;
  cli.print("\tmetadata:");
  for (const MetadataVariable& variable : view.metadata) {
    cli.print("\n\t\t{} = ", variable.name);
    JsonWriter value(cli.out(), false);
    if (!btf::print_value(view.metadata_btf->btf, variable.type_id, variable.value, value, {.plain = true}))
      break;
  }
  cli.print("\n");
}

void print_json(JsonWriter& json, const ProgramView& view) {
  const ProgramInfo& info = view.info;
  json.begin_object();
  print_program_header(json, info, view.name);
  print_device(json, info.ifindex, info.netns_dev, info.netns_ino);
  if (info.load_time_ns != 0) {
    json.signed_field("loaded_at", view.loaded_at_seconds);
    json.field("uid", info.created_by_uid);
  }
  json.field("orphaned", info.orphaned);
  json.field("bytes_xlated", info.xlated_len);
  json.field("jited", info.jited_len != 0);
  if (info.jited_len != 0) json.field("bytes_jited", info.jited_len);
  if (info.bytes_memlock != 0) json.field("bytes_memlock", info.bytes_memlock);
  if (!info.map_ids.empty()) {
    json.name("map_ids");
    json.begin_array();
    for (const u32 id : info.map_ids) json.number(id);
    json.end_array();
  }
  if (info.btf_id != 0) json.field("btf_id", info.btf_id);
  if (view.show_pins) write_pins(json, view.pins);
  if (!view.metadata.empty()) {
    json.name("metadata");
    json.begin_object();
    for (const MetadataVariable& variable : view.metadata) {
      json.name(variable.name);
      if (!btf::print_value(view.metadata_btf->btf, variable.type_id, variable.value, json)) break;
    }
    json.end_object();
  }
  json.end_object();
}

void print_view(Cli& cli, const ProgramView& view) {
  if (cli.json_output()) {
    print_json(cli.json(), view);
  } else {
    print_plain(cli, view);
  }
}

}  // namespace

std::string device_name(u32 ifindex, u64 netns_dev, u64 netns_ino) {
  struct stat own{};
  std::array<char, IF_NAMESIZE> name{};
  if (stat("/proc/self/ns/net", &own) != 0 || own.st_dev != netns_dev || own.st_ino != netns_ino) return {};
  return if_indextoname(ifindex, name.data()) == nullptr ? std::string() : std::string(name.data());
}

void print_device(Cli& cli, u32 ifindex, u64 netns_dev, u64 netns_ino) {
  if (ifindex == 0) return;
  const std::string name = device_name(ifindex, netns_dev, netns_ino);
  if (name.empty()) {
    cli.print("  offloaded_to ifindex {} ns_dev {} ns_ino {}", ifindex, netns_dev, netns_ino);
  } else {
    cli.print("  offloaded_to {}", name);
  }
}

void print_device(JsonWriter& json, u32 ifindex, u64 netns_dev, u64 netns_ino) {
  if (ifindex == 0) return;
  json.name("dev");
  json.begin_object();
  json.field("ifindex", ifindex);
  json.field("ns_dev", netns_dev);
  json.field("ns_inode", netns_ino);
  const std::string name = device_name(ifindex, netns_dev, netns_ino);
  if (!name.empty()) json.field("ifname", std::string_view(name));
  json.end_object();
}

void print_program_header(Cli& cli, const ProgramInfo& info, const std::string& name) {
  const std::string_view type = prog_type_name(info.type);
  if (type.empty()) {
    cli.print("{}: type {}  ", info.id, static_cast<u32>(info.type));
  } else {
    cli.print("{}: {}  ", info.id, type);
  }
  if (!name.empty()) cli.print("name {}  ", name);
  cli.print("tag {}", tag_text(info.tag));
  print_device(cli, info.ifindex, info.netns_dev, info.netns_ino);
  if (info.gpl_compatible) cli.print("  gpl");
  if (info.run_time_ns != 0) cli.print(" run_time_ns {} run_cnt {}", info.run_time_ns, info.run_cnt);
  if (info.recursion_misses != 0) cli.print(" recursion_misses {}", info.recursion_misses);
  cli.print("\n");
}

void print_program_header(JsonWriter& json, const ProgramInfo& info, const std::string& name) {
  json.field("id", info.id);
  const std::string_view type = prog_type_name(info.type);
  if (type.empty()) {
    json.field("type", static_cast<u32>(info.type));
  } else {
    json.field("type", type);
  }
  if (!name.empty()) json.field("name", std::string_view(name));
  json.field("tag", std::string_view(tag_text(info.tag)));
  json.field("gpl_compatible", info.gpl_compatible);
  if (info.run_time_ns != 0) {
    json.field("run_time_ns", info.run_time_ns);
    json.field("run_cnt", info.run_cnt);
  }
  if (info.recursion_misses != 0) json.field("recursion_misses", info.recursion_misses);
}

Outcome<ProgramView> view_program(Kernel& kernel, ProgramInfo info, const PinTable* pins) {
  ProgramView view;
  view.name = full_name(kernel, info);
  view.info = std::move(info);
  view.loaded_at_seconds = wall_clock_of(view.info.load_time_ns);
  view.loaded_at = local_time(view.loaded_at_seconds);
  if (pins != nullptr && !pins->empty()) {
    view.show_pins = true;
    view.pins = pins_of(*pins, view.info.id);
  }
  find_metadata(kernel, view);
  return view;
}

Outcome<void> prog_show(Cli& cli, Args args) {
  auto list =
      TRY(gather_shown<ProgramRef>(cli, args, ObjectKind::prog, "program", take_programs, info_of_program));
  Kernel& kernel = *TRY(cli.kernel());
  const bool as_list = cli.json_output() && list.as_list;
  if (as_list) cli.json().begin_array();
  for (ProgramRef& program : list.objects)
    print_view(cli, TRY(view_program(kernel, std::move(program.info), &list.pins)));
  if (as_list) cli.json().end_array();
  return {};
}

}  // namespace skep::cli
