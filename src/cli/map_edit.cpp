// One element: update, lookup, getnext, delete, and push/pop/peek of queues and stacks, which have no keys.
#include <cerrno>

#include "cli/map_view.hpp"
#include "cli/xlated_view.hpp"

namespace skep::cli {

namespace {

/// The element, alone: JSON, typed text, or bytes.
Outcome<void> print_element(Cli& cli, Kernel& kernel, const MapInfo& info, const ElementView& element) {
  const std::unique_ptr<LoadedBtf> types = TRY(types_of_map(kernel, info));
  const ElementPrinter printer{info, types ? &types->btf : nullptr};
  if (cli.json_output()) {
    printer.json(cli.json(), element);
  } else if (types) {
    JsonWriter text(cli.out(), true);
    printer.typed(text, element, true);
    cli.print("\n");
  } else {
    printer.plain(cli, element);
  }
  return {};
}

}  // namespace

Outcome<void> map_update(Cli& cli, Args args) {
  if (args.left() < 2) return wrong_usage();
  const MapRef map = TRY(take_map(cli, args));
  const ElementSyntax syntax{map.info.key_size != 0, map.info.value_size != 0, true};
  const ElementWords words = TRY(take_element(cli, args, map.info, syntax));
  const auto updated = TRY(cli.kernel())
                           ->map_update_elem(map.handle.fd(), words.key.value_or(std::vector<std::byte>()),
                                             words.value.value_or(std::vector<std::byte>()), words.flags);
  if (!updated) return kernel_refused_errno("update failed", updated.error());
  cli.nothing_to_show();
  return {};
}

Outcome<void> map_lookup(Cli& cli, Args args) {
  if (args.left() < 2) return wrong_usage();
  const MapRef map = TRY(take_map(cli, args));
  Kernel& kernel = *TRY(cli.kernel());
  const ElementWords words = TRY(take_element(cli, args, map.info, {map.info.key_size != 0, false, false}));
  ElementView element{words.key.value_or(std::vector<std::byte>()),
                      std::vector<std::byte>(TRY(value_bytes(kernel, map.info))),
                      {}};
  const auto found = kernel.map_lookup_elem(map.handle.fd(), element.key, element.value);
  if (found) return print_element(cli, kernel, map.info, element);
  if (found.error().code != ENOENT) return kernel_refused_errno("lookup failed", found.error());
  if (cli.json_output()) {
    cli.json().null();
  } else {
    cli.print("key:\n{}\n\nNot found\n", hex_bytes(element.key));
  }
  return refuse("", status_of_errno(ENOENT));
}

Outcome<void> map_getnext(Cli& cli, Args args) {
  if (args.left() < 2) return wrong_usage();
  const MapRef map = TRY(take_map(cli, args));
  ElementWords words;
  if (!args.empty()) words = TRY(take_element(cli, args, map.info, {map.info.key_size != 0, false, false}));
  std::vector<std::byte> next(map.info.key_size);
  const auto found =
      TRY(cli.kernel())
          ->map_get_next_key(map.handle.fd(), words.key.value_or(std::vector<std::byte>()), next);
  if (!found) return kernel_refused_errno("can't get next key", found.error());
  if (cli.json_output()) {
    JsonWriter& json = cli.json();
    json.begin_object();
    json.name("key");
    if (words.key) {
      hex_bytes_json(json, *words.key);
    } else {
      json.null();
    }
    json.name("next_key");
    hex_bytes_json(json, next);
    json.end_object();
    return {};
  }
  if (words.key) {
    cli.print("key:\n{}\n", hex_bytes(*words.key));
  } else {
    cli.print("key: None\n");
  }
  cli.print("next key:\n{}\n", hex_bytes(next));
  return {};
}

Outcome<void> map_delete(Cli& cli, Args args) {
  if (args.left() < 2) return wrong_usage();
  const MapRef map = TRY(take_map(cli, args));
  const ElementWords words = TRY(take_element(cli, args, map.info, {true, false, false}));
  const auto deleted = TRY(cli.kernel())->map_delete_elem(map.handle.fd(), *words.key);
  if (!deleted) return kernel_refused_errno("delete failed", deleted.error());
  cli.nothing_to_show();
  return {};
}

Outcome<void> map_pop(Cli& cli, Args args) {
  if (args.left() < 2) return wrong_usage();
  const MapRef map = TRY(take_map(cli, args));
  Kernel& kernel = *TRY(cli.kernel());
  ElementView element{{}, std::vector<std::byte>(TRY(value_bytes(kernel, map.info))), {}};
  const auto popped = kernel.map_lookup_and_delete_elem(map.handle.fd(), {}, element.value);
  if (popped) return print_element(cli, kernel, map.info, element);
  if (popped.error().code != ENOENT) return kernel_refused_errno("pop failed", popped.error());
  if (cli.json_output()) {
    cli.json().null();
  } else {
    cli.print("Error: empty map\n");
  }
  return refuse("", status_of_errno(ENOENT));
}

}  // namespace skep::cli
