// See carried.hpp. The assembler puts the file into the library as it is.
#include "btf/carried.hpp"

#include <zlib.h>

#include <span>

// clang-format off
__asm__(
    ".pushsection .rodata\n"
    ".balign 8\n"
    "skep_kernel_btf_begin:\n"
    ".incbin \"" SKEP_KERNEL_BTF "\"\n"
    "skep_kernel_btf_end:\n"
    ".byte 0\n"
    ".popsection\n");
// clang-format on

extern "C" {
extern const unsigned char skep_kernel_btf_begin[];  // NOLINT: names of the assembler's
extern const unsigned char skep_kernel_btf_end[];    // NOLINT
}

namespace skep::btf {

Result<std::vector<std::byte>> carried_kernel_btf() {
  constexpr std::size_t largest = std::size_t{16} << 20;
  const std::span<const unsigned char> packed(skep_kernel_btf_begin, skep_kernel_btf_end);
  // The last four bytes of a gzip file are the size of what it holds.
  if (packed.size() < 18) return fail(EINVAL, "the BTF that skep carries is empty");
  std::size_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) size |= std::size_t{packed[packed.size() - 4 + i]} << (8 * i);
  if (size > largest) return fail(EINVAL, "the BTF that skep carries is too large");
  std::vector<std::byte> bytes(size);
  z_stream stream{};
  stream.next_in = const_cast<Bytef*>(packed.data());  // NOLINT: zlib does not write there
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());  // NOLINT: bytes are bytes
  stream.avail_out = static_cast<uInt>(bytes.size());
  constexpr int gzip_window = 15 + 16;
  if (inflateInit2(&stream, gzip_window) != Z_OK) return fail(ENOMEM, "zlib cannot be set up");
  const int done = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (done != Z_STREAM_END) return fail(EINVAL, "the BTF that skep carries is damaged");
  return bytes;
}

}  // namespace skep::btf
