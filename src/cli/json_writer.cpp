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

void JsonWriter::quoted(std::string_view text) {
  std::string line = "\"";
  for (const char c : text) {
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
