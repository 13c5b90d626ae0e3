// The events that printing BTF or a value of a BTF type produces. The command line renders them as compact
// JSON, pretty JSON or (for values) the same in plain mode; what JSON syntax it takes is the renderer's
// business.
#pragma once
#include <string_view>

#include "base/types.hpp"

namespace skep::btf {

class Writer {
 public:
  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  virtual ~Writer() = default;

  virtual void begin_object() = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
  /// The name of the next value within an object.
  virtual void name(std::string_view text) = 0;
  /// To be quoted and escaped.
  virtual void string(std::string_view text) = 0;
  /// A token as it stands: a number, true, false, "0x1f" unquoted.
  virtual void raw(std::string_view token) = 0;

  void field(std::string_view key, std::string_view text) {
    name(key);
    string(text);
  }
  void number_field(std::string_view key, u64 value);
  void signed_field(std::string_view key, s64 value);
};

}  // namespace skep::btf
