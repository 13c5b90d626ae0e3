// A Writer that renders compact JSON-like text, for comparing.
#pragma once
#include <string>

#include "btf/writer.hpp"

namespace skep::btf::test {

class TextWriter : public Writer {
 public:
  std::string text;

  void begin_object() override { open('{'); }
  void end_object() override { close('}'); }
  void begin_array() override { open('['); }
  void end_array() override { close(']'); }
  void name(std::string_view name) override {
    comma();
    text += "\"" + std::string(name) + "\":";
    first_ = true;
  }
  void string(std::string_view value) override {
    comma();
    text += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  void raw(std::string_view token) override {
    comma();
    text += token;
  }

 private:
  void comma() {
    if (!first_) text += ',';
    first_ = false;
  }
  void open(char c) {
    comma();
    text += c;
    first_ = true;
  }
  void close(char c) {
    text += c;
    first_ = false;
  }
  bool first_ = true;
};

}  // namespace skep::btf::test
