// See bare_words.hpp.
#include "cli/bare_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iostream>
#include <iterator>
#include <optional>

#include "base/fd.hpp"

namespace skep::cli {
namespace {

Outcome<std::string> read_all(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  auto content = read_file(path);
  if (!content) return refuse(fmt::format("{}: {}", path, content.error().what));
  return std::move(*content);
}

bool is_digit(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool is_blank(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

/// Nothing where something other than digits in pairs and blanks stands.
std::optional<std::string> of_digits(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    if (is_digit(c))
      digits += c;
    else if (!is_blank(c))
      return std::nullopt;
  }
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

std::vector<std::byte> as_bytes(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::ranges::transform(text, bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

}  // namespace

Outcome<std::vector<isa::Insn>> read_bare_insns(const std::string& path) {
  std::string bytes = TRY(read_all(path));
  const bool text = std::ranges::all_of(bytes, [](char c) { return is_digit(c) || is_blank(c); });
  if (text && !bytes.empty()) {
    const auto read = of_digits(bytes);
    if (!read) return refuse(fmt::format("{}: an odd number of hexadecimal digits", path));
    bytes = *read;
  }
  if (bytes.empty() || bytes.size() % sizeof(isa::Insn) != 0)
    return refuse(fmt::format("{}: {} bytes are no instructions of 8 bytes each", path, bytes.size()));
  std::vector<isa::Insn> insns(bytes.size() / sizeof(isa::Insn));
  std::memcpy(insns.data(), bytes.data(), bytes.size());
  return insns;
}

Outcome<std::vector<std::byte>> parse_bytes(const std::string& word) {
  constexpr std::string_view file = "file:";
  if (word.starts_with(file)) return as_bytes(TRY(read_all(word.substr(file.size()))));
  const auto read = of_digits(word);
  if (!read) return refuse(fmt::format("'{}' is neither pairs of hexadecimal digits nor file:PATH", word));
  return as_bytes(*read);
}

Outcome<ProgType> parse_prog_type(const std::string& word) {
  for (u32 t = 1; t < prog_type_count; ++t)
    if (prog_type_name(static_cast<ProgType>(t)) == word) return static_cast<ProgType>(t);
  return refuse(fmt::format("'{}' is not a program type", word));
}

}  // namespace skep::cli
