// One object on its way into the output: where each of its sections, symbols and types went.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "linker/linker.hpp"
#include "linker/output.hpp"
#include "loader/btf_ext.hpp"
#include "loader/elf_file.hpp"

namespace skep::linker {

class Joining {
 public:
  Joining(Output& out, ByteView bytes, const std::string& file) : out_(out), bytes_(bytes), file_(file) {}
  /// The steps, in their order.
  Result<void> run();

 private:
  // sections.cpp
  Result<void> check_sections() const;
  Result<void> place_sections();
  Result<void> place(const loader::Section& section);
  u32 section_named(const std::string& name);
  Result<void> move_relocations();
  Result<void> move_relocations(const loader::Section& section);
  Result<void> move_addend(OutSection& target, u64 at, const OutRelocation& relocation, u64 by) const;

  // symbols.cpp
  Result<void> check_symbols() const;
  Result<void> take_symbols();
  Result<void> take_symbol(u32 number);
  u32 add_symbol(const loader::Symbol& symbol, std::optional<u32> section, u64 moved);
  Result<void> take_global(u32 number);
  Result<void> resolve(u32 number, Global& global, const Global& mine);
  struct Typed {
    u32 type_id = 0;           ///< in this object's BTF
    std::string_view datasec;  ///< that lists it; empty: none
    u32 size = 0;              ///< as that says
  };
  Result<Typed> find_type(const loader::Symbol& symbol) const;

  // types.cpp
  Result<void> take_types();
  void index_types();
  Result<void> take_statics();
  /// Where the static variables are, by section and name; of two of one name the first.
  using Statics = std::map<std::pair<u32, std::string_view>, u64>;
  Result<void> take_static(OutSection& section, const btf::Entry& entry, std::optional<u32> from,
                           const Statics& statics);
  Result<void> take_records();
  Result<void> take_records(RecordKind kind, const loader::ExtInfo& info);

  [[nodiscard]] bool is_extern(const loader::Symbol& symbol) const { return symbol.section == 0; }
  /// The section of this object that became part of an output section, which an index names.
  struct Placed {
    std::optional<u32> section;  ///< into Output::sections
    u64 offset = 0;
  };
  /// This object's first section of that name that becomes part of an output section.
  [[nodiscard]] std::optional<u32> source_named(std::string_view name) const;

  Output& out_;
  ByteView bytes_;
  const std::string& file_;
  loader::ElfFile elf_;
  std::optional<btf::Btf> btf_;
  loader::BtfExt ext_;
  std::vector<u32> ids_;                      ///< of types, in the output's terms
  std::vector<Placed> placed_;                ///< by section
  std::map<std::string_view, u32> contents_;  ///< of source_named()
  std::vector<std::optional<u32>> symbols_;
  /// FUNCs and VARs that other objects can see, by name; whether several say it differently.
  std::map<std::string_view, std::vector<Typed>> typed_;
};

/// Sections of debugging information are left out, and so is what relocates them.
[[nodiscard]] bool is_debug_section(std::string_view name);

}  // namespace skep::linker
