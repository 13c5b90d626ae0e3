// JSON as bpftool writes it; see the header for why it is our own.
#include "cli/json_writer.hpp"

#include <fmt/format.h>

namespace skep::cli {

void JsonWriter::separator() {
  if (separate_) out_->write(",");
  separate_ = true;
  named_ = false;
  wrote_ = true;
}

void JsonWriter::new_line() {
  if (!pretty_) return;
  out_->write("\n");
  out_->write(std::string(4 * open_.size(), ' '));
}

void JsonWriter::open(char bracket, char closing) {
  separator();
  out_->write(std::string_view(&bracket, 1));
  open_.push_back(closing);
  separate_ = false;
}

void JsonWriter::close() {
  const char closing = open_.back();
  open_.pop_back();
  if (separate_) new_line();
  out_->write(std::string_view(&closing, 1));
  separate_ = true;
}

void JsonWriter::name(std::string_view key) {
  separator();
  new_line();
  quoted(key);
  out_->write(pretty_ ? ": " : ":");
  separate_ = false;
  named_ = true;
}

namespace {

/// Bytes of the UTF-8 sequence at the front of `text` that is not ASCII; 0: there is none.
std::size_t utf8_sequence(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  const std::size_t size = first >= 0xf0 && first <= 0xf4  ? 4
                           : first >= 0xe0 && first < 0xf0 ? 3
                           : first >= 0xc2 && first < 0xe0 ? 2
                                                           : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
  const bool no_character = (first == 0xed && at(1) >= 0xa0) || (first == 0xf4 && at(1) >= 0x90);
  return overlong || no_character ? 0 : size;
}

}  // namespace

void JsonWriter::quoted(std::string_view text) {
  std::string line = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80) {  // names are whatever bytes somebody chose; JSON is UTF-8
      const std::size_t size = utf8_sequence(text.substr(i));
      line += size == 0 ? "\\ufffd" : std::string(text.substr(i, size));
      i += size == 0 ? 0 : size - 1;
      continue;
    }
    switch (c) {
      case '\t':
        line += "\\t";
        break;
      case '\n':
        line += "\\n";
        break;
      case '\r':
        line += "\\r";
        break;
      case '\f':
        line += "\\f";
        break;
      case '\b':
        line += "\\b";
        break;
      case '\\':
        line += "\\\\";
        break;
      case '"':
        line += "\\\"";
        break;
      default:
        // bpftool lets other control characters through, which no JSON parser takes.
        if (static_cast<unsigned char>(c) < 0x20) {
          line += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          line += c;
        }
    }
  }
  line += '"';
  out_->write(line);
}

void JsonWriter::string(std::string_view value) {
  separator();
  quoted(value);
}

void JsonWriter::raw(std::string_view text) {
  separator();
  out_->write(text);
}

void JsonWriter::number(u64 value) { raw(fmt::format("{}", value)); }
void JsonWriter::signed_number(s64 value) { raw(fmt::format("{}", value)); }

void JsonWriter::close_to(std::size_t depth) {
  if (named_) null();
  while (open_.size() > depth) close();
}

}  // namespace skep::cli
