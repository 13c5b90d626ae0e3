// The hashes that program tags are made of (FIPS 180-4): SHA-256 as of Linux 6.18, SHA-1 before.
#pragma once
#include <array>

#include "base/bytes.hpp"

namespace skep::runtime {

[[nodiscard]] std::array<u8, 32> sha256(ByteView bytes);
[[nodiscard]] std::array<u8, 20> sha1(ByteView bytes);

}  // namespace skep::runtime
