// BTF to test with: the .BTF section of an object that clang compiled for this test.
#pragma once
#include <elf.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "btf/btf.hpp"

namespace skep::btf::test {

/// The bytes of section `name` of an ELF file; empty if it has none.
inline std::vector<std::byte> section_of(const std::string& file, std::string_view name) {
  Result<std::string> read = read_file(file);
  EXPECT_TRUE(read.has_value()) << read.error().what;
  if (!read) return {};
  const std::string& text = *read;
  auto header = load<Elf64_Ehdr>(text.data());
  auto section = [&](unsigned i) {
    return load<Elf64_Shdr>(text.data() + header.e_shoff + i * sizeof(Elf64_Shdr));
  };
  Elf64_Shdr names = section(header.e_shstrndx);
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr s = section(i);
    if (name != text.data() + names.sh_offset + s.sh_name) continue;
    ByteView bytes = bytes_of(std::string_view(text).substr(s.sh_offset, s.sh_size));
    return {bytes.begin(), bytes.end()};
  }
  return {};
}

inline std::vector<std::byte> btf_bytes(const std::string& object) {
  return section_of(std::string(SKEP_BTF_OBJECTS) + "/" + object, ".BTF");
}

inline Btf btf_of(const std::string& object) {
  Result<Btf> btf = Btf::parse(btf_bytes(object), nullptr, Checks::structure);
  EXPECT_TRUE(btf.has_value()) << btf.error().what;
  return btf ? std::move(*btf) : Btf();
}

}  // namespace skep::btf::test
