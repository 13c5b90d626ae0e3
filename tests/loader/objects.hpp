// Objects that clang compiled for these tests.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "loader/object.hpp"

namespace skep::loader::test {

inline std::string object_path(const std::string& name) {
  return std::string(SKEP_LOADER_OBJECTS) + "/" + name;
}

inline std::string object_bytes(const std::string& name) {
  Result<std::string> text = read_file(object_path(name));
  EXPECT_TRUE(text.has_value()) << text.error().what;
  return text.value_or("");
}

/// Collects messages as lines, by level.
class Messages : public Diagnostics {
 public:
  void message(Level level, const std::string& text) override {
    (level == Level::warning ? warnings : debug) += text + "\n";
  }
  std::string warnings, debug;
};

inline ObjectSpec object(const std::string& name, Diagnostics* diagnostics = nullptr) {
  std::string text = object_bytes(name);
  Result<ObjectSpec> spec = read_object(bytes_of(text), name, diagnostics);
  EXPECT_TRUE(spec.has_value()) << name << ": " << spec.error().what;
  return spec ? std::move(*spec) : ObjectSpec();
}

}  // namespace skep::loader::test
