// A map as `map show` tells of it, its elements as `map dump` and `map lookup` do, and both forms of each.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/objects.hpp"
#include "cli/pins.hpp"

namespace skep::cli {

struct MapView {
  MapInfo info;
  bool show_pins = false;
  std::vector<std::string> pins;
};

void print_map_header(Cli& cli, const MapInfo& info);
void print_map_header(JsonWriter& json, const MapInfo& info);

[[nodiscard]] bool is_per_cpu(MapType type);
[[nodiscard]] bool is_map_of_maps(MapType type);
/// Bytes that bpf(2) takes and gives for a value: per-CPU maps have one for each possible CPU, rounded up
/// to 8.
Outcome<std::size_t> value_bytes(Kernel& kernel, const MapInfo& info);

/// One element; `value` holds all CPUs' for a per-CPU map.
struct ElementView {
  std::vector<std::byte> key;
  std::vector<std::byte> value;
  std::optional<Error> unreadable;  ///< why there is no value
};

/// How elements of one map are printed.
struct ElementPrinter {
  const MapInfo& info;
  const btf::Btf* btf = nullptr;  ///< null: only bytes

  void json(JsonWriter& json, const ElementView& element) const;
  /// As bytes.
  void plain(Cli& cli, const ElementView& element) const;
  /// As typed values only, into a writer of the plain form; `plain` is btf::PrintOptions'.
  void typed(JsonWriter& json, const ElementView& element, bool plain) const;

 private:
  void unreadable(Cli& cli, const ElementView& element) const;
};

/// The types of the map's keys and values; nothing if it has none.
Outcome<std::unique_ptr<LoadedBtf>> types_of_map(Kernel& kernel, const MapInfo& info);

/// All elements of one map, as `map dump` prints them; in JSON one array.
Outcome<void> print_elements(Cli& cli, Kernel& kernel, const MapRef& map);

/// `key DATA`, `value VALUE` and flags of update, lookup, getnext, delete, push ...
struct ElementWords {
  std::optional<std::vector<std::byte>> key;
  std::optional<std::vector<std::byte>> value;
  u64 flags = uapi::ANY;
  Handle value_object;  ///< a program or map that the value names, held until the update is done
};
struct ElementSyntax {
  bool key = false;    ///< a key is needed
  bool value = false;  ///< a value is needed
  bool flags = false;
};
Outcome<ElementWords> take_element(Cli& cli, Args& args, const MapInfo& info, const ElementSyntax& syntax);

Outcome<void> map_show(Cli& cli, Args args);
Outcome<void> map_dump(Cli& cli, Args args);
Outcome<void> map_create(Cli& cli, Args args);
Outcome<void> map_update(Cli& cli, Args args);
Outcome<void> map_lookup(Cli& cli, Args args);
Outcome<void> map_getnext(Cli& cli, Args args);
Outcome<void> map_delete(Cli& cli, Args args);
Outcome<void> map_pop(Cli& cli, Args args);
Outcome<void> map_event_pipe(Cli& cli, Args args);

}  // namespace skep::cli
