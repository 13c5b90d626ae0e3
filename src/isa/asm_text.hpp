// Pieces of assembler text: a cursor over a statement, and what a statement becomes. Inside the assembler
// only.
#pragma once
#include <cctype>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "isa/insn.hpp"

namespace skep::isa {

inline bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Reads pieces from the front of a statement without white space.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  bool word(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  /// [+-]number, decimal or 0x hexadecimal, as a 64-bit two's complement value.
  std::optional<s64> number() {
    std::string_view text = rest_;
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) text.remove_prefix(1);
    const u64 base = text.starts_with("0x") ? 16 : 10;
    if (base == 16) text.remove_prefix(2);
    u64 value = 0;
    std::size_t digits = 0;
    for (; digits < text.size(); ++digits) {
      const int d = digit(text[digits], base);
      if (d < 0) break;
      if (value > (std::numeric_limits<u64>::max() - static_cast<u64>(d)) / base) return std::nullopt;
      value = value * base + static_cast<u64>(d);
    }
    if (digits == 0) return std::nullopt;
    rest_ = text.substr(digits);
    return static_cast<s64>(negative ? 0 - value : value);
  }
  std::string_view name() {
    std::size_t n = 0;
    while (n < rest_.size() && is_word(rest_[n])) ++n;
    const std::string_view result = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return result;
  }

 private:
  static int digit(char c, u64 base) {
    if (c >= '0' && c <= '9') return c - '0';
    if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }
  std::string_view rest_;
};

/// The statement with white space only where it separates two words, and then as one space.
inline std::string packed(std::string_view text) {
  std::string result;
  bool space = false;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      space = true;
      continue;
    }
    if (space && !result.empty() && is_word(result.back()) && is_word(c)) result += ' ';
    space = false;
    result += c;
  }
  return result;
}

/// An instruction whose jump target may still be a name.
struct Parsed {
  Insn insn;
  std::optional<s32> second;  ///< imm of the second slot
  std::string target;         ///< label to resolve, or empty
};

/// An imm may be written signed or unsigned.
inline std::optional<s32> fit32(s64 value) {
  if (value < std::numeric_limits<s32>::min() || value > std::numeric_limits<u32>::max()) return std::nullopt;
  return static_cast<s32>(value);
}
inline std::optional<s16> fit16(s64 value) {
  if (value < std::numeric_limits<s16>::min() || value > std::numeric_limits<s16>::max()) return std::nullopt;
  return static_cast<s16>(value);
}

}  // namespace skep::isa
