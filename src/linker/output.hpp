// What is being put together: sections, symbols, and the types of both.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "btf/builder.hpp"

namespace skep::linker {

struct OutRelocation {
  u64 offset = 0;
  u32 symbol = 0;  ///< index into Output::symbols
  u32 type = 0;
};

/// A variable of a section as its DATASEC lists it.
struct OutVariable {
  u32 type_id = 0;
  u64 offset = 0;
  u32 size = 0;
};

/// Records of .BTF.ext for one section: offsets in bytes into it, types and strings in the builder's terms.
struct OutRecords {
  u32 record_size = 0;
  std::vector<std::byte> bytes;
};
enum RecordKind : u8 { func_info = 0, line_info = 1, core_relos = 2 };
inline constexpr u32 kRecordKinds = 3;

struct OutSection {
  std::string name;
  bool only_types = false;  ///< .kconfig, .ksyms: known to BTF, not to ELF
  u32 type = 0;             ///< SHT_*
  u64 flags = 0, align = 1, entry_size = 0;
  u64 size = 0;
  std::vector<std::byte> data;  ///< `size` bytes, none where the section has none in the file
  std::vector<OutRelocation> relocations;
  std::optional<u32> symbol;  ///< the section's own
  bool has_datasec = false;
  std::vector<OutVariable> statics;  ///< variables that no other object sees
  OutRecords records[kRecordKinds];
};

struct OutSymbol {
  std::string name;
  u64 value = 0, size = 0;
  std::optional<u32> section;  ///< index into Output::sections
  u16 special = 0;             ///< without one: SHN_UNDEF, SHN_ABS
  u8 type = 0, binding = 0, visibility = 0;
};

/// A name that objects share.
struct Global {
  u32 symbol = 0;   ///< index into Output::symbols
  u32 type_id = 0;  ///< the VAR or FUNC; 0: none
  bool is_extern = false, weak = false;
  std::optional<u32> section;  ///< where it is, or for externs where BTF says that it will be
  u32 size = 0;                ///< of a variable, by its DATASEC
};

struct Output {
  std::vector<OutSection> sections;
  std::vector<OutSymbol> symbols;
  std::map<std::string, u32, std::less<>> section_by_name;
  std::map<std::string, Global, std::less<>> globals;
  btf::Builder types;
  bool has_types = false, has_ext = false;
};

/// The file. E2BIG where it would be larger than an object may be.
Result<std::vector<std::byte>> write_object(Output output);

}  // namespace skep::linker
