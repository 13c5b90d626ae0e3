// Writes JSON as bpftool does, byte for byte. A JSON library cannot: bpftool's pretty form puts an object's
// first brace on the line of the bracket before it, array elements side by side, closes a non-empty array on
// a line of its own, and allows values that are not JSON numbers (hexadecimal in plain BTF dumps).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "btf/writer.hpp"
#include "cli/sink.hpp"

namespace skep::cli {

class JsonWriter final : public btf::Writer {
 public:
  JsonWriter(Sink& out, bool pretty) : out_(&out), pretty_(pretty) {}

  void begin_object() override { open('{', '}'); }
  void end_object() override { close(); }
  void begin_array() override { open('[', ']'); }
  void end_array() override { close(); }

  void name(std::string_view key) override;
  void string(std::string_view value) override;
  /// Verbatim: a number, or text that the caller has made.
  void raw(std::string_view text) override;
  void number(u64 value);
  void signed_number(s64 value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void null() { raw("null"); }

  void field(std::string_view key, std::string_view value) { name(key), string(value); }
  void field(std::string_view key, const char* value) { name(key), string(value); }
  void field(std::string_view key, u64 value) { name(key), number(value); }
  void field(std::string_view key, u32 value) { name(key), number(value); }
  void field(std::string_view key, bool value) { name(key), boolean(value); }
  void signed_field(std::string_view key, s64 value) { name(key), signed_number(value); }

  /// How many objects and arrays are open.
  [[nodiscard]] std::size_t depth() const { return open_.size(); }
  /// Closes down to `depth`, so that an error in the middle still leaves a whole document. A key that waits
  /// for its value gets null.
  void close_to(std::size_t depth);
  [[nodiscard]] bool in_object() const { return !open_.empty() && open_.back() == '}'; }
  /// Whether anything has been written.
  [[nodiscard]] bool wrote() const { return wrote_; }
  /// Starts a new document at depth 0: no comma before the next value.
  void reset() { separate_ = false; }

 private:
  void open(char bracket, char closing);
  void close();
  void separator();
  void new_line();
  void quoted(std::string_view text);

  Sink* out_;
  bool pretty_;
  bool separate_ = false;  ///< the next value needs a comma
  bool named_ = false;     ///< a key waits for its value
  bool wrote_ = false;
  std::vector<char> open_;  ///< closing brackets
};

}  // namespace skep::cli
