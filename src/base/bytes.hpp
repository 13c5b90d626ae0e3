// Views of bytes, and the one place where an offset into untrusted bytes is checked.
#pragma once
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.hpp"
#include "base/types.hpp"

namespace skep {

using ByteView = std::span<const std::byte>;
using MutBytes = std::span<std::byte>;

template <class T>
  requires std::is_trivially_copyable_v<T>
ByteView bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}
template <class T>
  requires std::is_trivially_copyable_v<T>
MutBytes mut_bytes_of(T& value) {
  return std::as_writable_bytes(std::span<T, 1>(&value, 1));
}
inline ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view chars_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Loads a T from bytes that must hold it (an unaligned load); little-endian hosts only.
template <class T>
  requires std::is_trivially_copyable_v<T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
  requires std::is_trivially_copyable_v<T>
void store(void* to, const T& value) {
  std::memcpy(to, &value, sizeof value);
}

/// Reads untrusted bytes: every access is checked, overflow included. Errors are EINVAL and say
/// "NAME: N bytes at offset O run past its end (S bytes)".
class ByteReader {
 public:
  ByteReader(ByteView bytes, std::string_view name) : bytes_(bytes), name_(name) {}
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] ByteView bytes() const { return bytes_; }

  [[nodiscard]] Result<ByteView> sub(u64 offset, u64 size) const;
  /// A T at `offset`, unaligned.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Result<T> read(u64 offset) const {
    return load<T>(TRY(sub(offset, sizeof(T))).data());
  }
  /// The NUL-terminated string at `offset`; an unterminated one is an error.
  [[nodiscard]] Result<std::string_view> string(u64 offset) const;

 private:
  ByteView bytes_;
  std::string_view name_;
};

}  // namespace skep
