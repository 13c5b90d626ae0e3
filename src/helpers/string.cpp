// Helpers on strings (kernel/bpf/helpers.c).
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "helpers/families.hpp"

namespace skep::helpers {
namespace {

constexpr u64 base_mask = 31;  // BPF_STRTOX_BASE_MASK

struct Parsed {
  s64 consumed = 0;  ///< or a negative errno
  u64 magnitude = 0;
  bool negative = false;
};

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::optional<u32> digit(char c, u32 base) {
  u32 value = 99;
  if (c >= '0' && c <= '9') value = static_cast<u32>(c - '0');
  if (c >= 'a' && c <= 'f') value = static_cast<u32>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') value = static_cast<u32>(c - 'A') + 10;
  return value < base ? std::optional(value) : std::nullopt;
}

/// Blanks, a minus sign, a number of at most 63 characters; what follows is left alone.
Parsed parse(std::string_view text, u64 flags) {
  u32 base = static_cast<u32>(flags & base_mask);
  if ((base != 0 && base != 8 && base != 10 && base != 16) || (flags & ~base_mask) != 0) return {-EINVAL};
  std::size_t at = 0;
  while (at < text.size() && is_space(text[at])) ++at;
  Parsed parsed;
  parsed.negative = at < text.size() && text[at] == '-';
  if (parsed.negative) ++at;
  std::string_view rest = text.substr(at, 63);
  if (rest.empty()) return {-EINVAL};
  const bool hex_prefix = rest.size() > 2 && rest[0] == '0' && (rest[1] | 0x20) == 'x' && digit(rest[2], 16);
  if (base == 0) base = hex_prefix ? 16 : rest[0] == '0' ? 8 : 10;
  std::size_t skip = base == 16 && rest.size() > 1 && rest[0] == '0' && (rest[1] | 0x20) == 'x' ? 2 : 0;
  std::size_t end = skip;
  bool overflow = false;
  for (; end < rest.size(); ++end) {
    const auto value = digit(rest[end], base);
    if (!value) break;
    overflow |= __builtin_mul_overflow(parsed.magnitude, u64{base}, &parsed.magnitude);
    overflow |= __builtin_add_overflow(parsed.magnitude, u64{*value}, &parsed.magnitude);
  }
  if (overflow) return {-ERANGE};
  if (end == skip) return {-EINVAL};
  parsed.consumed = static_cast<s64>(at + end);
  return parsed;
}

u64 strtol_(u64 text, u64 size, u64 flags, u64 result, u64, RunContext*) {
  const Parsed parsed = parse({pointer<const char>(text), size}, flags);
  auto& out = *pointer<s64>(result);
  out = 0;
  if (parsed.consumed < 0) return static_cast<u64>(parsed.consumed);
  const u64 limit = static_cast<u64>(INT64_MAX) + (parsed.negative ? 1 : 0);
  if (parsed.magnitude > limit) return error_result(ERANGE);
  out = static_cast<s64>(parsed.negative ? u64{0} - parsed.magnitude : parsed.magnitude);
  return static_cast<u64>(parsed.consumed);
}

u64 strtoul_(u64 text, u64 size, u64 flags, u64 result, u64, RunContext*) {
  const Parsed parsed = parse({pointer<const char>(text), size}, flags);
  auto& out = *pointer<u64>(result);
  out = 0;
  if (parsed.consumed < 0) return static_cast<u64>(parsed.consumed);
  if (parsed.negative) return error_result(EINVAL);
  out = parsed.magnitude;
  return static_cast<u64>(parsed.consumed);
}

/// -1, 0 or 1, as the kernel's strncmp(); the second string is constant and ends with a NUL.
u64 strncmp_(u64 first, u64 size, u64 second, u64, u64, RunContext*) {
  const int order =
      std::strncmp(pointer<const char>(first), pointer<const char>(second), static_cast<u32>(size));
  return static_cast<u64>(s64{order < 0 ? -1 : order > 0 ? 1 : 0});
}

constexpr HelperRow rows[] = {
    {105, strtol_},
    {106, strtoul_},
    {182, strncmp_},
};

}  // namespace

std::span<const HelperRow> string_family() { return rows; }

}  // namespace skep::helpers
