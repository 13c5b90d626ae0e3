// The parts of read_object(), which share what they find: one step per file, in the order in which libbpf
// takes them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "loader/btf_edit.hpp"
#include "loader/btf_ext.hpp"
#include "loader/elf_file.hpp"
#include "loader/object.hpp"

namespace skep::loader {

/// A section of tables of kernel functions (".struct_ops", ...).
[[nodiscard]] bool is_table_section(std::string_view name);

class Reader {
 public:
  Reader(ByteView bytes, const std::string& file, Diagnostics* diagnostics, bool relaxed_maps)
      : bytes_(bytes), diagnostics_(diagnostics), relaxed_maps_(relaxed_maps) {
    spec_.file = file;
  }
  Result<ObjectSpec> run();

 private:
  /// A function as the object file has it, before calls are linked: a program, or a subprogram of .text.
  struct Function {
    std::string name;
    u32 section = 0;
    u32 first = 0;  ///< instruction in its section
    std::vector<isa::Insn> insns;
    bool global = false;  ///< symbol binding
    bool hidden = false;
  };
  /// A relocation of a function's instruction.
  struct CodeRelo {
    enum class Kind : u8 { call, subprog_address, reference } kind{};
    u64 symbol_value = 0;
    Reference reference;
  };
  /// Which function of a table a program is.
  struct TableFunction {
    std::string table, member;
  };
  enum class DataKind : u8 { none, data, rodata, bss, kconfig };

  // read_object.cpp: sections, functions, license
  Result<void> collect_sections();
  Result<void> collect_section(const Section& section);
  Result<void> collect_license(const Section& section);
  Result<void> collect_functions(const Section& section);
  Result<void> parse_btf();
  [[nodiscard]] bool is_code(const Section& section) const;

  // externs.cpp
  Result<void> collect_externs();
  struct ExternTypes;
  Result<Extern> describe_extern(u32 symbol, const ExternTypes& types);
  [[nodiscard]] KconfigType kconfig_type(u32 type_id, bool& is_signed) const;
  void place_kconfig_externs();
  Result<void> edit_ksyms_datasec(BtfEdit& edit, u32 datasec);
  Result<void> edit_kconfig_datasec(BtfEdit& edit, u32 datasec);
  [[nodiscard]] const Extern* find_extern(std::string_view name) const;
  void index_symbols();

  // btf_fixup.cpp
  Result<void> fix_btf();
  Result<void> edit_datasec(BtfEdit& edit, u32 id);
  void edit_hidden_functions(BtfEdit& edit);
  [[nodiscard]] const Symbol* data_symbol(std::string_view name) const;

  // btf_maps.cpp, legacy_maps.cpp, data_maps.cpp
  Result<void> collect_btf_maps();
  Result<void> collect_legacy_maps();
  Result<void> collect_data_maps();
  Result<void> collect_kconfig_map();
  void add_data_map(MapOrigin origin, const std::string& section, u32 index, std::vector<std::byte> data);

  // programs.cpp
  Result<void> make_programs();
  Result<void> link_program(ProgramDef& program, u32 function);
  void collect_exception_callbacks();

  // tables.cpp
  Result<void> collect_table_relocations(const Section& section);
  Result<void> table_relocation(u32 datasec, const Rel& rel);

  // relocations.cpp
  Result<void> collect_relocations();
  Result<void> collect_code_relocations(const Section& section);
  Result<CodeRelo> code_relocation(const Function& function, u32 insn, const Rel& rel);
  Result<CodeRelo> call_relocation(const Function& function, u32 insn, const Symbol& symbol);
  Result<CodeRelo> data_relocation(const Function& function, const Symbol& symbol);
  Result<void> collect_map_relocations(const Section& section);
  Result<void> map_relocation(const Rel& rel, u64 number);
  /// Index into functions_ of the one that holds instruction `insn` of `section`, or none.
  [[nodiscard]] std::optional<u32> function_at(u32 section, u64 insn) const;

  void say(Level level, const std::string& text) const {
    if (diagnostics_ != nullptr) diagnostics_->message(level, text);
  }
  [[nodiscard]] static bool is_extern(const Symbol& symbol);

  ByteView bytes_;
  Diagnostics* diagnostics_;
  bool relaxed_maps_;
  ElfFile elf_;
  ObjectSpec spec_;

  const Section* btf_section_ = nullptr;
  const Section* btf_ext_section_ = nullptr;
  const Section* maps_section_ = nullptr;
  const Section* legacy_maps_section_ = nullptr;
  u32 text_section_ = 0;
  u32 maps_datasec_ = 0;                   ///< BTF id of .maps
  std::map<u32, DataKind> data_sections_;  ///< by section index
  std::vector<const Section*> relocation_sections_;
  std::vector<Function> functions_;               ///< ordered by section, then by place
  std::map<u32, TableFunction> table_functions_;  ///< by index into functions_
  std::map<u32, u32> extern_of_symbol_;
  // Indexes, so that hostile files cost no more than their size (times its logarithm).
  std::map<u32, std::vector<u32>> functions_of_section_;    ///< symbols of STT_FUNC
  std::map<std::string_view, const Symbol*> data_symbols_;  ///< global and weak STT_OBJECT
  std::map<std::string_view, u32> extern_by_name_;          ///< into spec_.externs
  BtfExt ext_;
  std::vector<std::map<u32, CodeRelo>> relocations_;        ///< by function, then by its instruction
  std::map<std::string, std::string> exception_callbacks_;  ///< names, by program
  std::map<std::string_view, u32> global_subprograms_;      ///< filled where there are such callbacks
  u64 instructions_ = 0;                                    ///< of all functions
  u64 linked_instructions_ = 0;                             ///< of all programs with their subprograms
  static constexpr u64 kMaxInstructions = 16u << 20;        ///< of each; no object comes near

  friend class Linker;
};

}  // namespace skep::loader
