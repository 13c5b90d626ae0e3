#include "base/bytes.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace skep {

Result<ByteView> ByteReader::sub(u64 offset, u64 size) const {
  if (offset > bytes_.size() || size > bytes_.size() - offset)
    return fail(EINVAL, fmt::format("{}: {} bytes at offset {} run past its end ({} bytes)", name_, size,
                                    offset, bytes_.size()));
  return bytes_.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

Result<std::string_view> ByteReader::string(u64 offset) const {
  const std::string_view all = chars_of(bytes_);
  if (offset >= all.size())
    return fail(EINVAL, fmt::format("{}: no string at offset {} ({} bytes)", name_, offset, all.size()));
  const std::size_t end = all.find('\0', static_cast<std::size_t>(offset));
  if (end == std::string_view::npos)
    return fail(EINVAL, fmt::format("{}: the string at offset {} is not terminated", name_, offset));
  return all.substr(static_cast<std::size_t>(offset), end - static_cast<std::size_t>(offset));
}

}  // namespace skep
