// An ELF object of bytes, through libelf: its sections, symbols and relocations as checked values. libelf
// reads the headers; the contents of sections are cut out of the caller's bytes by checked offsets.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace skep::loader {

struct Section {
  u32 index = 0;
  std::string name;
  u32 type = 0;   ///< SHT_*
  u64 flags = 0;  ///< SHF_*
  u32 link = 0, info = 0;
  u64 size = 0;  ///< also of SHT_NOBITS, which has no data
  u64 entry_size = 0, align = 0;
  u64 file_offset = 0;
  ByteView data;  ///< into the bytes given to open()
};

struct Symbol {
  std::string name;  ///< of a section symbol without one: the section's
  u64 value = 0, size = 0;
  u32 section = 0;  ///< index, SHN_UNDEF, or SHN_LORESERVE and above
  u8 type = 0, binding = 0, visibility = 0;
};

struct Rel {
  u64 offset = 0;
  u32 symbol = 0;
  u32 type = 0;
};

class ElfFile {
 public:
  /// `bytes` must outlive the result. Errors: what is no ELF, not a 64-bit little-endian relocatable BPF
  /// object, or is damaged; they name `file` or the section.
  static Result<ElfFile> open(ByteView bytes, const std::string& file);
  /// Any 64-bit little-endian ELF, whatever its machine and kind; without reading symbols.
  static Result<ElfFile> open_any(ByteView bytes, const std::string& file);

  [[nodiscard]] const std::vector<Section>& sections() const {
    return sections_;
  }  ///< [0] is the null section
  [[nodiscard]] const Section* section(u32 index) const {
    return index < sections_.size() ? &sections_[index] : nullptr;
  }
  [[nodiscard]] const Section* find(std::string_view name) const;
  [[nodiscard]] std::string_view section_name(u32 index) const;
  [[nodiscard]] const std::vector<Symbol>& symbols() const { return symbols_; }  ///< [0] is the null symbol
  [[nodiscard]] u32 symbols_section() const { return symbols_section_; }
  /// The records of an SHT_REL section, in file order. EINVAL naming the record that is damaged.
  [[nodiscard]] Result<std::vector<Rel>> relocations(const Section& section) const;

 private:
  static Result<ElfFile> read(ByteView bytes, const std::string& file, bool bpf_only);
  Result<void> read_symbols(ByteView bytes);

  std::vector<Section> sections_;
  std::vector<Symbol> symbols_;
  u32 symbols_section_ = 0;
};

}  // namespace skep::loader
