// `map dump`: all elements of a map, through their types where all maps named have BTF.
#include <cerrno>

#include "cli/map_view.hpp"

namespace skep::cli {

namespace {

/// Every element there is now. Another one may be added or removed meanwhile; a removed key would begin the
/// walk anew, so no more elements are read than the map can hold, twice.
Outcome<std::vector<ElementView>> read_elements(Kernel& kernel, const MapRef& map) {
  std::vector<ElementView> elements;
  const std::size_t size = TRY(value_bytes(kernel, map.info));
  const u64 limit = 2 * u64{map.info.max_entries} + 1;
  std::vector<std::byte> key;
  while (elements.size() < limit) {
    std::vector<std::byte> next(map.info.key_size);
    const auto found = kernel.map_get_next_key(map.handle.fd(), key, next);
    if (!found) {
      if (found.error().code == ENOENT) break;
      return kernel_refused_errno("", found.error());
    }
    ElementView element{next, std::vector<std::byte>(size), {}};
    const auto read = kernel.map_lookup_elem(map.handle.fd(), element.key, element.value);
    if (!read) element.unreadable = read.error();
    elements.push_back(std::move(element));
    key = std::move(next);
  }
  return elements;
}

/// Where the elements go: the JSON of -j, the JSON-like text of typed values, or bytes.
struct Target {
  JsonWriter* json = nullptr;
  bool typed_text = false;
};

Outcome<void> dump_one(Cli& cli, Kernel& kernel, const MapRef& map, const Target& target, bool with_header) {
  std::unique_ptr<LoadedBtf> types;
  if (target.json != nullptr) types = TRY(types_of_map(kernel, map.info));
  const auto elements = read_elements(kernel, map);
  const ElementPrinter printer{map.info, types ? &types->btf : nullptr};
  if (target.json == nullptr) {
    if (with_header) print_map_header(cli, map.info);
    std::size_t count = 0;
    for (const ElementView& element : elements ? *elements : std::vector<ElementView>()) {
      printer.plain(cli, element);
      if (!element.unreadable) ++count;
    }
    cli.print("Found {} element{}\n", count, count == 1 ? "" : "s");
  } else {
    if (with_header) {
      target.json->begin_object();
      print_map_header(*target.json, map.info);
      target.json->name("elements");
    }
    target.json->begin_array();
    for (const ElementView& element : elements ? *elements : std::vector<ElementView>()) {
      if (target.typed_text && printer.btf != nullptr && !element.unreadable) {
        printer.typed(*target.json, element, true);
      } else if (target.typed_text && element.unreadable) {
        printer.plain(cli, element);
      } else {
        printer.json(*target.json, element);
      }
    }
    target.json->end_array();
    if (with_header) target.json->end_object();
  }
  if (!elements) return std::unexpected<Failure>(elements.error());
  return {};
}

}  // namespace

Outcome<void> print_elements(Cli& cli, Kernel& kernel, const MapRef& map) {
  if (cli.json_output()) return dump_one(cli, kernel, map, {&cli.json(), false}, false);
  JsonWriter text(cli.out(), true);
  auto dumped = dump_one(cli, kernel, map, {map.info.btf_id != 0 ? &text : nullptr, true}, false);
  text.close_to(0);
  if (map.info.btf_id != 0) cli.print("\n");
  return dumped;
}

Outcome<void> map_dump(Cli& cli, Args args) {
  if (args.left() != 2) return wrong_usage();
  const std::vector<MapRef> maps = TRY(take_maps(cli, args));
  Kernel& kernel = *TRY(cli.kernel());
  const bool several = maps.size() > 1;
  JsonWriter text(cli.out(), true);
  Target target;
  if (cli.json_output()) {
    target.json = &cli.json();
  } else {
    const bool all_typed =
        std::all_of(maps.begin(), maps.end(), [](const MapRef& m) { return m.info.btf_id != 0; });
    target = {all_typed ? &text : nullptr, true};
  }
  if (target.json != nullptr && several) target.json->begin_array();
  for (std::size_t i = 0; i < maps.size(); ++i) {
    auto dumped = dump_one(cli, kernel, maps[i], target, several);
    if (!dumped) {
      text.close_to(0);
      return dumped;
    }
    if (target.json == nullptr && i + 1 < maps.size()) cli.print("\n");
  }
  if (target.json != nullptr && several) target.json->end_array();
  if (target.json == &text) cli.print("\n");
  return {};
}

}  // namespace skep::cli
