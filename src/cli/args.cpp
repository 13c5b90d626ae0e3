// Words and numbers of a command line.
#include "cli/args.hpp"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace skep::cli {

Outcome<std::string> Args::take() {
  if (empty()) return wrong_usage();
  return (*words_)[at_++];
}

Outcome<void> Args::require(std::size_t count, int status) const {
  if (left() >= count) return {};
  return refuse(fmt::format("'{}' needs at least {} arguments, {} found", previous(), count, left()), status);
}

Outcome<void> Args::require_or_usage(std::size_t count) const {
  auto enough = require(count);
  if (!enough) enough.error().usage = true;
  return enough;
}

Outcome<void> Args::finished() const {
  if (empty()) return {};
  return refuse(fmt::format("what is '{}'?", peek()));
}

std::optional<u64> parse_unsigned(std::string_view text, int base) {
  if (base == 0 || base == 16) {
    if (text.starts_with("0x") || text.starts_with("0X")) {
      text.remove_prefix(2);
      base = 16;
    } else if (base == 0) {
      base = text.size() > 1 && text[0] == '0' ? 8 : 10;
    }
  }
  u64 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

Outcome<u32> parse_u32(const std::string& text, std::string_view what) {
  const auto value = parse_unsigned(text);
  if (!value || *value > std::numeric_limits<u32>::max())
    return refuse(fmt::format("can't parse {} as {}", text, what));
  return static_cast<u32>(*value);
}

Outcome<void> refuse_ambiguous(std::string_view word, std::initializer_list<std::string_view> keywords) {
  std::string could_be;
  unsigned matches = 0;
  for (const auto keyword : keywords) {
    if (!is_prefix(word, keyword)) continue;
    could_be += fmt::format("{}{}", matches++ ? "' or '" : "", keyword);
  }
  if (matches < 2) return {};
  return refuse(fmt::format("ambiguous prefix: '{}' could be '{}'", word, could_be));
}

}  // namespace skep::cli
