// Elements of maps: as bytes, as JSON, and through their types.
#include <cerrno>

#include "btf/print.hpp"
#include "cli/map_view.hpp"
#include "cli/xlated_view.hpp"

namespace skep::cli {

namespace {

std::size_t stride_of(const MapInfo& info) { return (std::size_t{info.value_size} + 7) / 8 * 8; }

ByteView value_of_cpu(const MapInfo& info, const ElementView& element, std::size_t cpu) {
  return ByteView(element.value).subspan(cpu * stride_of(info), info.value_size);
}

std::size_t cpus_of(const MapInfo& info, const ElementView& element) {
  return info.value_size == 0 ? 0 : element.value.size() / stride_of(info);
}

/// Arrays of programs and of maps have slots without an entry, which are not worth a line.
bool may_be_empty(MapType type) { return is_map_of_maps(type) || type == MapType::prog_array; }

}  // namespace

bool is_per_cpu(MapType type) {
  return type == MapType::percpu_hash || type == MapType::percpu_array || type == MapType::lru_percpu_hash ||
         type == MapType::percpu_cgroup_storage;
}

bool is_map_of_maps(MapType type) { return type == MapType::array_of_maps || type == MapType::hash_of_maps; }

Outcome<std::size_t> value_bytes(Kernel& kernel, const MapInfo& info) {
  if (!is_per_cpu(info.type)) return std::size_t{info.value_size};
  const auto cpus = kernel.possible_cpus();
  if (!cpus) return kernel_refused("Can't get # of possible cpus", cpus.error());
  return stride_of(info) * *cpus;
}

Outcome<std::unique_ptr<LoadedBtf>> types_of_map(Kernel& kernel, const MapInfo& info) {
  if (info.btf_vmlinux_value_type_id != 0) {
    auto loaded = load_btf(kernel, 1);  // vmlinux is the first BTF a kernel has
    if (!loaded) return refuse("failed to get kernel btf");
    return std::move(*loaded);
  }
  if (info.btf_value_type_id == 0) return std::unique_ptr<LoadedBtf>();
  auto loaded = load_btf(kernel, info.btf_id);
  if (!loaded) return refuse("failed to get btf", loaded.error().status);
  return std::move(*loaded);
}

void ElementPrinter::typed(JsonWriter& json, const ElementView& element, bool plain) const {
  const btf::PrintOptions options{.plain = plain};
  const std::size_t depth = json.depth();
  json.begin_object();
  bool fine = true;
  if (info.btf_key_type_id != 0) {
    json.name("key");
    fine = btf::print_value(*btf, info.btf_key_type_id, element.key, json, options).has_value();
  }
  const u32 value_type =
      info.btf_vmlinux_value_type_id != 0 ? info.btf_vmlinux_value_type_id : info.btf_value_type_id;
  if (fine && !is_per_cpu(info.type)) {
    json.name("value");
    fine = btf::print_value(*btf, value_type, element.value, json, options).has_value();
  } else if (fine) {
    json.name("values");
    json.begin_array();
    for (std::size_t cpu = 0; fine && cpu < cpus_of(info, element); ++cpu) {
      json.begin_object();
      json.field("cpu", u64{cpu});
      json.name("value");
      fine = btf::print_value(*btf, value_type, value_of_cpu(info, element, cpu), json, options).has_value();
      if (fine) json.end_object();
    }
    if (fine) json.end_array();
  }
  json.close_to(depth);
}

void ElementPrinter::json(JsonWriter& json, const ElementView& element) const {
  if (element.unreadable) {
    if (may_be_empty(info.type) && element.unreadable->code == ENOENT) return;
    json.begin_object();
    json.name("key");
    hex_bytes_json(json, element.key);
    json.name("value");
    json.begin_object();
    json.field("error", std::string_view(errno_text(element.unreadable->code)));
    json.end_object();
    json.end_object();
    return;
  }
  json.begin_object();
  json.name("key");
  hex_bytes_json(json, element.key);
  if (!is_per_cpu(info.type)) {
    json.name("value");
    hex_bytes_json(json, element.value);
    if (is_map_of_maps(info.type)) json.field("inner_map_id", load<u32>(element.value.data()));
  } else {
    json.name("values");
    json.begin_array();
    for (std::size_t cpu = 0; cpu < cpus_of(info, element); ++cpu) {
      json.begin_object();
      json.field("cpu", u64{cpu});
      json.name("value");
      hex_bytes_json(json, value_of_cpu(info, element, cpu));
      json.end_object();
    }
    json.end_array();
  }
  if (btf != nullptr) {
    json.name("formatted");
    typed(json, element, false);
  }
  json.end_object();
}

void ElementPrinter::unreadable(Cli& cli, const ElementView& element) const {
  const int code = element.unreadable->code;
  if (may_be_empty(info.type) && code == ENOENT) return;
  std::string message = errno_text(code);
  if (code == ENOENT) message = "<no entry>";
  if (code == ENOSPC && info.type == MapType::reuseport_sockarray) message = "<cannot read>";
  const bool break_names = info.key_size > 16 || message.size() > 16;
  const bool single_line = info.key_size + message.size() <= 24 && !break_names;
  const char gap = break_names ? '\n' : ' ';
  cli.print("key:{}{}{}value:{}{}\n", gap, hex_bytes(element.key), single_line ? "  " : "\n", gap, message);
}

void ElementPrinter::plain(Cli& cli, const ElementView& element) const {
  if (element.unreadable) return unreadable(cli, element);
  if (is_per_cpu(info.type)) {
    if (info.key_size != 0) cli.print("key:\n{}\n", hex_bytes(element.key));
    for (std::size_t cpu = 0; cpu < cpus_of(info, element); ++cpu)
      cli.print("value (CPU {:02}):{}{}\n", cpu, info.value_size > 16 ? '\n' : ' ',
                hex_bytes(value_of_cpu(info, element, cpu)));
    return;
  }
  const bool break_names = info.key_size > 16 || info.value_size > 16;
  const bool single_line = info.key_size + info.value_size <= 24 && !break_names;
  const char gap = break_names ? '\n' : ' ';
  if (info.key_size != 0) cli.print("key:{}{}{}", gap, hex_bytes(element.key), single_line ? "  " : "\n");
  if (info.value_size != 0) {
    if (is_map_of_maps(info.type)) {
      cli.print("inner_map_id:{}{} ", gap, load<u32>(element.value.data()));
    } else {
      cli.print("value:{}{}", gap, hex_bytes(element.value));
    }
  }
  cli.print("\n");
}

}  // namespace skep::cli
