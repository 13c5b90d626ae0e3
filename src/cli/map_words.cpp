// The words that name a key, a value and update flags.
#include "cli/map_view.hpp"

namespace skep::cli {

namespace {

Outcome<std::vector<std::byte>> take_bytes(Args& args, std::string_view name, std::size_t count) {
  const int base = args.take_if("hex") ? 16 : 0;
  std::vector<std::byte> bytes;
  while (bytes.size() < count && !args.empty()) {
    const auto value = parse_unsigned(args.peek(), base);
    if (!value) return refuse(fmt::format("error parsing byte: {}", args.peek()));
    if (*value > 0xff)
      return refuse(fmt::format("error parsing byte: {} is more than a byte holds", args.peek()));
    bytes.push_back(static_cast<std::byte>(*value));
    args.skip();
  }
  if (bytes.size() != count)
    return refuse(fmt::format("{} expected {} bytes got {}", name, count, bytes.size()));
  return bytes;
}

/// A per-CPU value is the same on every CPU.
Outcome<std::vector<std::byte>> on_every_cpu(Cli& cli, const MapInfo& info, std::vector<std::byte> value) {
  if (!is_per_cpu(info.type)) return value;
  std::vector<std::byte> all(TRY(value_bytes(*TRY(cli.kernel()), info)));
  const std::size_t stride = (value.size() + 7) / 8 * 8;
  for (std::size_t at = 0; stride != 0 && at < all.size(); at += stride)
    std::copy(value.begin(), value.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
  return all;
}

std::vector<std::byte> descriptor_bytes(int fd) {
  const ByteView bytes = bytes_of(fd);
  return {bytes.begin(), bytes.end()};
}

Outcome<void> take_value(Cli& cli, Args& args, const MapInfo& info, ElementWords& words) {
  const bool of_maps = is_map_of_maps(info.type);
  if (!of_maps && info.type != MapType::prog_array) {
    words.value = TRY(on_every_cpu(cli, info, TRY(take_bytes(args, "value", info.value_size))));
    return {};
  }
  const std::string_view what = of_maps ? "map in map" : "map of progs";
  if (info.value_size != 4) return refuse(fmt::format("value smaller than 4B for {}?", what));
  if (args.left() < 2) return refuse(fmt::format("not enough value arguments for {}", what));
  if (of_maps) {
    words.value_object = TRY(take_map(cli, args)).handle;
  } else {
    if (args.next_is("id"))
      cli.info(
          "Warning: updating program array via MAP_ID, make sure this map is kept open\n"
          "         by some process or pinned otherwise update will be lost");
    words.value_object = TRY(take_program(cli, args)).handle;
  }
  words.value = descriptor_bytes(words.value_object.fd());
  return {};
}

}  // namespace

Outcome<ElementWords> take_element(Cli& cli, Args& args, const MapInfo& info, const ElementSyntax& syntax) {
  ElementWords words;
  bool flags_given = false;
  while (!args.empty()) {
    if (args.next_is("key")) {
      if (!syntax.key || words.key) return refuse(info.key_size != 0 ? "duplicate key" : "unnecessary key");
      args.skip();
      words.key = TRY(take_bytes(args, "key", info.key_size));
    } else if (args.next_is("value")) {
      if (!syntax.value || words.value)
        return refuse(syntax.value && info.value_size != 0 ? "duplicate value" : "unnecessary value");
      args.skip();
      TRY(take_value(cli, args, info, words));
    } else if (args.next_is("any") || args.next_is("noexist") || args.next_is("exist")) {
      if (!syntax.flags || flags_given)
        return refuse(fmt::format("flags specified multiple times: {}", args.peek()));
      flags_given = true;
      words.flags = args.next_is("any") ? uapi::ANY : args.next_is("noexist") ? uapi::NOEXIST : uapi::EXIST;
      args.skip();
    } else {
      return refuse(fmt::format("expected key or value, got: {}", args.peek()));
    }
  }
  if (syntax.key && !words.key) return refuse("did not find key");
  if (syntax.value && !words.value) return refuse("did not find value");
  return words;
}

}  // namespace skep::cli
