// A verb's words, taken one after the other, with bpftool's prefix matching and its complaint about too few.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"
#include "cli/outcome.hpp"

namespace skep::cli {

/// `word` is a prefix of `full`; the empty word is a prefix of everything, as in bpftool.
[[nodiscard]] inline bool is_prefix(std::string_view word, std::string_view full) {
  return full.starts_with(word);
}

class Args {
 public:
  /// `words` outlives the Args; `at` is the first word not yet taken.
  explicit Args(const std::vector<std::string>& words, std::size_t at = 0) : words_(&words), at_(at) {}

  [[nodiscard]] std::size_t left() const { return words_->size() - at_; }
  [[nodiscard]] bool empty() const { return left() == 0; }
  /// The next word, which must exist.
  [[nodiscard]] const std::string& peek() const { return (*words_)[at_]; }
  [[nodiscard]] bool next_is(std::string_view keyword) const {
    return !empty() && is_prefix(peek(), keyword);
  }
  void skip() { ++at_; }
  /// Takes the next word if it abbreviates `keyword`.
  [[nodiscard]] bool take_if(std::string_view keyword) {
    if (!next_is(keyword)) return false;
    skip();
    return true;
  }
  /// The next word; without one, the noun's usage.
  Outcome<std::string> take();
  /// "'PREVIOUS' needs at least N arguments, M found".
  Outcome<void> require(std::size_t count, int status = kExitFailure) const;
  /// The same, with the noun's usage behind the complaint.
  Outcome<void> require_or_usage(std::size_t count) const;
  /// Nothing may be left: "what is 'WORD'?".
  Outcome<void> finished() const;
  /// The word before the next one, as typed.
  [[nodiscard]] std::string previous() const { return at_ == 0 ? std::string() : (*words_)[at_ - 1]; }

 private:
  const std::vector<std::string>* words_;
  std::size_t at_;
};

/// strtoul(text, base 0) of a whole word that fits: decimal, 0x hexadecimal, 0 octal. None if it is anything
/// else.
[[nodiscard]] std::optional<u64> parse_unsigned(std::string_view text, int base = 0);
/// The same, for 32 bits; the failure is "can't parse TEXT as WHAT".
Outcome<u32> parse_u32(const std::string& text, std::string_view what);
/// "ambiguous prefix: 'WORD' could be 'a' or 'b'" if `word` abbreviates more than one of them.
Outcome<void> refuse_ambiguous(std::string_view word, std::initializer_list<std::string_view> keywords);

}  // namespace skep::cli
