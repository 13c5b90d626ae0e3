// What an object file says, as plain values: programs, maps, BTF, externs, and where in the code each of them
// is referred to. read_object() makes it from bytes alone (no I/O, no kernel); load() brings it to a Kernel.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "btf/btf.hpp"
#include "isa/insn.hpp"
#include "kernel/kernel.hpp"
#include "kernel/uapi.hpp"

namespace skep::loader {

/// Where messages that libbpf would print go: each is one line without "libbpf: " and newline, except the
/// verifier log, which is one message of several lines. Levels are libbpf's: the tools print `warning` always
/// and the others only with -d.
enum class Level : u8 { warning, info, debug };
class Diagnostics {
 public:
  Diagnostics() = default;
  Diagnostics(const Diagnostics&) = delete;
  Diagnostics& operator=(const Diagnostics&) = delete;
  virtual ~Diagnostics();
  virtual void message(Level level, const std::string& text) = 0;
};

/// Where a map came from.
enum class MapOrigin : u8 { btf_defined, legacy, data, rodata, bss, kconfig };
[[nodiscard]] inline bool is_internal(MapOrigin origin) { return origin > MapOrigin::legacy; }

/// One `values` entry of an array of maps, hash of maps or program array.
struct InitialSlot {
  u32 index = 0;
  u32 target = 0;  ///< index into ObjectSpec::maps or, for a prog_array, ObjectSpec::programs
};

struct MapDef {
  std::string name;     ///< libbpf's name of it: the variable's, or "hello.bss"; what pins are called by
  std::string section;  ///< ".maps", ".bss", ".data.custom", ...
  MapOrigin origin = MapOrigin::btf_defined;
  /// As it goes to the kernel: name cut to 15, BTF type ids; descriptors are filled in by load().
  MapSpec spec;
  std::vector<std::byte> initial;  ///< of internal maps: the value of key 0
  bool pin_by_name = false;        ///< LIBBPF_PIN_BY_NAME
  std::unique_ptr<MapDef> inner;   ///< the template of a map of maps
  std::vector<InitialSlot> slots;
  u32 section_index = 0;
  u64 section_offset = 0;
};

/// What an instruction of a program refers to and must be patched with when that is known.
enum class RefKind : u8 {
  map,          ///< ld_imm64: descriptor of maps[target]
  map_value,    ///< ld_imm64: value of maps[target], plus `addend` bytes
  extern_var,   ///< ld_imm64: externs[target]
  extern_call,  ///< call: externs[target] (a kfunc)
};
struct Reference {
  u32 insn = 0;
  RefKind kind = RefKind::map;
  u32 target = 0;
  u32 addend = 0;
};

/// One CO-RE relocation (struct bpf_core_relo), `insn` in terms of ProgramDef::insns.
struct CoreRelocation {
  u32 insn = 0;
  u32 type_id = 0;
  std::string access;  ///< "0:1:2"
  u32 kind = 0;        ///< enum bpf_core_relo_kind
};

struct ProgramDef {
  std::string name;                  ///< the function's
  std::string section;               ///< without a leading '?'
  bool autoload = true;              ///< false for SEC("?...")
  ProgType type = ProgType::unspec;  ///< unspec: the section's name says nothing
  AttachType expected_attach_type{};
  u32 flags = 0;  ///< BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS
  bool attach_needs_btf = false;
  std::string attach_target;  ///< what follows the '/' of the section name
  /// Of struct_ops programs: the struct of kernel functions, and which of them this is (by a variable of the
  /// section .struct_ops); empty: no variable names it.
  std::string table, table_member;
  /// The function, then every .text function it reaches; calls among them already point there.
  std::vector<isa::Insn> insns;
  std::vector<Reference> references;
  std::vector<CoreRelocation> core_relocations;
  InfoRecords func_info, line_info;
  u32 section_index = 0;
  u32 section_insn = 0;  ///< where in its section the function starts, in instructions
};

/// An extern of .kconfig or .ksyms.
enum class ExternKind : u8 { kconfig, ksym_var, ksym_func };
enum class KconfigType : u8 { none, character, boolean, integer, tristate, char_array };
struct Extern {
  std::string name;
  ExternKind kind = ExternKind::kconfig;
  bool weak = false;
  u32 btf_id = 0;
  u32 type_id = 0;  ///< ksyms: the type without modifiers, 0 (void): typeless
  KconfigType config_type = KconfigType::none;
  bool is_signed = false;
  u32 size = 0, align = 0, offset = 0;  ///< kconfig: its place in the .kconfig map
};

struct ObjectSpec {
  std::string file;  ///< as given: messages name it
  std::string name;  ///< the file's base name without its ".o", dots and all that follows cut, as libbpf does
  std::string license;
  u32 kern_version = 0;
  std::vector<ProgramDef> programs;  ///< in the order of their sections, then of their place
  std::vector<MapDef> maps;          ///< .maps, legacy, data sections in file order, .kconfig
  std::vector<Extern> externs;
  std::optional<u32> kconfig_map;
  /// "section(N) .struct_ops" if there are tables of kernel functions, which are not supported: load()
  /// refuses the object, but its programs can be verified one by one.
  std::string struct_ops_section;
  std::optional<btf::Btf> btf;  ///< completed as the kernel wants it

  [[nodiscard]] const ProgramDef* program(std::string_view wanted) const;
  [[nodiscard]] const MapDef* map(std::string_view wanted) const;
};

/// Reads an ELF object of bytes. `file` names it in messages and gives maps of global data their names.
/// EINVAL and the like for what is malformed or not supported; the sentence names section and offset, and is
/// also the last warning given to `diagnostics`.
/// `relaxed_maps`: what a legacy map definition says beyond its flags (iproute2's pinning and ids) is
/// ignored.
Result<ObjectSpec> read_object(ByteView bytes, const std::string& file, Diagnostics* diagnostics = nullptr,
                               bool relaxed_maps = false);

/// Opens, reads and read_object()s a file. Messages for what is no file or no ELF are libbpf's.
Result<ObjectSpec> open_object(const std::string& path, Diagnostics* diagnostics = nullptr,
                               bool relaxed_maps = false);

/// The BTF of a file that is raw BTF, an object, or any ELF with a .BTF section (`btf dump file`).
Result<btf::Btf> read_btf_file(const std::string& path, const btf::Btf* base = nullptr);

}  // namespace skep::loader
