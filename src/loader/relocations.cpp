// Relocations of code and of map values: which map, variable, extern or function each one means.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "loader/reader.hpp"

namespace skep::loader {

namespace {

constexpr u64 kInsnBytes = 8;
constexpr u8 kCallCode = isa::op::JMP | isa::op::CALL;

bool is_call(const isa::Insn& insn) { return insn.code == kCallCode; }

/// Functions of .text, by symbol or by section.
bool means_subprogram(const Symbol& symbol, u32 text) {
  if (text == 0 || symbol.section != text) return false;
  if (symbol.binding == STB_LOCAL) return symbol.type == STT_SECTION;
  return symbol.type == STT_FUNC;
}

}  // namespace

std::optional<u32> Reader::function_at(u32 section, u64 insn) const {
  auto after = std::upper_bound(functions_.begin(), functions_.end(), std::pair(section, insn),
                                [](const std::pair<u32, u64>& wanted, const Function& f) {
                                  return wanted < std::pair<u32, u64>(f.section, f.first);
                                });
  if (after == functions_.begin()) return std::nullopt;
  const Function& found = *std::prev(after);
  if (found.section != section || insn - found.first >= found.insns.size()) return std::nullopt;
  return static_cast<u32>(std::prev(after) - functions_.begin());
}

Result<void> Reader::collect_relocations() {
  relocations_.resize(functions_.size());
  for (const Section* section : relocation_sections_) {
    const std::string_view name = elf_.section(section->info)->name;
    if (name == ".maps")
      TRY(collect_map_relocations(*section));
    else if (is_table_section(name))
      TRY(collect_table_relocations(*section));
    else
      TRY(collect_code_relocations(*section));
  }
  return {};
}

Result<void> Reader::collect_code_relocations(const Section& section) {
  const Section& code = *elf_.section(section.info);
  say(Level::debug, fmt::format("sec '{}': collecting relocation for section({}) '{}'", section.name,
                                code.index, code.name));
  std::vector<Rel> relocations = TRY(elf_.relocations(section));
  for (std::size_t i = 0; i < relocations.size(); ++i) {
    const Rel& rel = relocations[i];
    if (rel.offset % kInsnBytes != 0 || rel.offset >= code.size)
      return fail(EINVAL,
                  fmt::format("sec '{}': invalid offset {:#x} for relo #{}", section.name, rel.offset, i));
    u64 insn = rel.offset / kInsnBytes;
    say(Level::debug, fmt::format("sec '{}': relo #{}: insn #{} against '{}'", section.name, i, insn,
                                  elf_.symbols()[rel.symbol].name));
    std::optional<u32> owner = function_at(code.index, insn);
    if (!owner) {
      say(Level::debug,
          fmt::format("sec '{}': relo #{}: couldn't find program in section '{}' for insn #{}, probably "
                      "overridden weak function, skipping...",
                      section.name, i, code.name, insn));
      continue;
    }
    const Function& function = functions_[*owner];
    u32 local = static_cast<u32>(insn) - function.first;
    relocations_[*owner][local] = TRY(code_relocation(function, local, rel));
  }
  return {};
}

Result<Reader::CodeRelo> Reader::code_relocation(const Function& function, u32 insn, const Rel& rel) {
  const Symbol& symbol = elf_.symbols()[rel.symbol];
  const isa::Insn& at = function.insns[insn];
  bool wide = isa::is_ld_imm64(at);
  if (!is_call(at) && !wide)
    return fail(EINVAL, fmt::format("prog '{}': invalid relo against '{}' for insns[{}].code {:#x}",
                                    function.name, symbol.name, insn, at.code));
  if (wide && insn + 1 >= function.insns.size())
    return fail(EINVAL, fmt::format("prog '{}': ld_imm64 at insn {} is cut in half", function.name, insn));
  CodeRelo relo;
  relo.kind = CodeRelo::Kind::reference;
  relo.reference.insn = insn;
  if (is_extern(symbol)) {
    auto known = extern_of_symbol_.find(rel.symbol);
    if (known == extern_of_symbol_.end())
      return fail(EINVAL, fmt::format("prog '{}': extern relo failed to find extern for '{}'", function.name,
                                      symbol.name));
    say(Level::debug, fmt::format("prog '{}': found extern #{} '{}' (sym {}) for insn #{}", function.name,
                                  known->second, symbol.name, rel.symbol, insn));
    relo.reference.kind = wide ? RefKind::extern_var : RefKind::extern_call;
    relo.reference.target = known->second;
    return relo;
  }
  if (is_call(at)) return call_relocation(function, insn, symbol);
  if (symbol.section == SHN_UNDEF || symbol.section >= SHN_LORESERVE)
    return fail(
        EINVAL,
        fmt::format("prog '{}': invalid relo against '{}' in special section {:#x}; forgot to initialize "
                    "global var?..",
                    function.name, symbol.name, symbol.section));
  if (means_subprogram(symbol, text_section_)) {
    if (symbol.value % kInsnBytes != 0 || at.imm % 8 != 0)
      return fail(EINVAL, fmt::format("prog '{}': bad subprog addr relo against '{}' at offset {}+{}",
                                      function.name, symbol.name, symbol.value, at.imm));
    relo.kind = CodeRelo::Kind::subprog_address;
    relo.symbol_value = symbol.value;
    return relo;
  }
  CodeRelo found = TRY(data_relocation(function, symbol));
  found.reference.insn = insn;
  const MapDef& map = spec_.maps[found.reference.target];
  if (found.reference.kind == RefKind::map_value) {
    found.reference.addend = static_cast<u32>(symbol.value) + static_cast<u32>(at.imm);
    say(Level::debug,
        fmt::format("prog '{}': found data map {} ({}, sec {}, off {}) for insn {}", function.name,
                    found.reference.target, map.name, map.section_index, map.section_offset, insn));
  } else {
    say(Level::debug,
        fmt::format("prog '{}': found map {} ({}, sec {}, off {}) for insn #{}", function.name,
                    found.reference.target, map.name, map.section_index, map.section_offset, insn));
  }
  return found;
}

Result<Reader::CodeRelo> Reader::call_relocation(const Function& function, u32 insn, const Symbol& symbol) {
  if (function.insns[insn].src != uapi::PSEUDO_CALL)
    return fail(EINVAL, fmt::format("prog '{}': incorrect bpf_call opcode", function.name));
  if (symbol.section == 0 || symbol.section != text_section_)
    return fail(EINVAL, fmt::format("prog '{}': bad call relo against '{}' in section '{}'", function.name,
                                    symbol.name, elf_.section_name(symbol.section)));
  if (symbol.value % kInsnBytes != 0)
    return fail(EINVAL, fmt::format("prog '{}': bad call relo against '{}' at offset {}", function.name,
                                    symbol.name, symbol.value));
  CodeRelo relo;
  relo.kind = CodeRelo::Kind::call;
  relo.symbol_value = symbol.value;
  return relo;
}

/// A map, or a variable in the map of its section.
Result<Reader::CodeRelo> Reader::data_relocation(const Function& function, const Symbol& symbol) {
  CodeRelo relo;
  relo.kind = CodeRelo::Kind::reference;
  bool is_data = data_sections_.contains(symbol.section);
  const Section& section = *elf_.section(symbol.section);
  bool is_maps = &section == maps_section_ || &section == legacy_maps_section_;
  if (!is_data && !is_maps)
    return fail(EINVAL, fmt::format("prog '{}': bad map relo against '{}' in section '{}'", function.name,
                                    symbol.name, section.name));
  relo.reference.kind = is_data ? RefKind::map_value : RefKind::map;
  for (u32 i = 0; i < spec_.maps.size(); ++i) {
    const MapDef& map = spec_.maps[i];
    if (map.section_index != symbol.section || map.origin == MapOrigin::kconfig) continue;
    if (is_maps && map.section_offset != symbol.value) continue;
    relo.reference.target = i;
    return relo;
  }
  return fail(EINVAL, fmt::format("prog '{}': map relo failed to find map for section '{}', off {}",
                                  function.name, section.name, symbol.value));
}

Result<void> Reader::collect_map_relocations(const Section& section) {
  if (maps_datasec_ == 0) return fail(EINVAL, ".maps relocations without BTF of .maps");
  std::vector<Rel> relocations = TRY(elf_.relocations(section));
  for (std::size_t i = 0; i < relocations.size(); ++i) TRY(map_relocation(relocations[i], i));
  return {};
}

Result<void> Reader::map_relocation(const Rel& rel, u64 number) {
  const btf::Btf& btf = *spec_.btf;
  const Symbol& symbol = elf_.symbols()[rel.symbol];
  auto wrong = [&](const std::string& what) {
    return fail(EINVAL, fmt::format(".maps relo #{}: {}", number, what));
  };
  // The map whose variable the relocated pointer lies in.
  MapDef* map = nullptr;
  const btf::Entry* entry = nullptr;
  for (const btf::Entry& candidate : btf.entries(btf.type(maps_datasec_))) {
    if (rel.offset >= candidate.offset && rel.offset - candidate.offset + 8 <= candidate.size)
      entry = &candidate;
  }
  for (MapDef& candidate : spec_.maps) {
    if (entry != nullptr && candidate.origin == MapOrigin::btf_defined &&
        candidate.section_offset == entry->offset)
      map = &candidate;
  }
  if (map == nullptr)
    return wrong(fmt::format("cannot find map '{}' at rel->r_offset {}", symbol.name, rel.offset));
  bool of_maps = map->spec.type == MapType::array_of_maps || map->spec.type == MapType::hash_of_maps;
  if (!of_maps && map->spec.type != MapType::prog_array)
    return wrong(fmt::format("map '{}' holds no references", map->name));
  const btf::Type& definition = btf.type(btf.skip_modifiers(btf.type(entry->type).type));
  std::span<const btf::Entry> members = btf.entries(definition);
  if (members.empty() || btf.string(members.back().name_off) != "values")
    return wrong(fmt::format("map '{}' has no values", map->name));
  u64 start = u64{entry->offset} + members.back().bit_offset / 8;
  if (rel.offset < start || (rel.offset - start) % 8 != 0)
    return wrong(fmt::format("offset {} is no slot of map '{}'", rel.offset, map->name));
  InitialSlot slot{.index = static_cast<u32>((rel.offset - start) / 8)};
  if (of_maps) {
    if (&*elf_.section(symbol.section) != maps_section_)
      return wrong(fmt::format("'{}' isn't a BTF-defined map", symbol.name));
    if (map->spec.type == MapType::hash_of_maps && map->spec.key_size != 4)
      return wrong(fmt::format("hash-of-maps '{}' should have key size 4", map->name));
    const MapDef* target = spec_.map(symbol.name);
    if (target == nullptr) return wrong(fmt::format("'{}' isn't a valid map reference", symbol.name));
    slot.target = static_cast<u32>(target - spec_.maps.data());
  } else {
    std::optional<u32> function;
    if (symbol.section != text_section_ && symbol.value % kInsnBytes == 0)
      function = function_at(symbol.section, symbol.value / kInsnBytes);
    if (!function || u64{functions_[*function].first} * kInsnBytes != symbol.value)
      return wrong(fmt::format("'{}' isn't an entry-point program", symbol.name));
    slot.target = *function;  // make_programs() turns it into a program's index
  }
  say(Level::debug, fmt::format(".maps relo #{}: map '{}' slot [{}] points to {} '{}'", number, map->name,
                                slot.index, of_maps ? "map" : "prog", symbol.name));
  map->slots.push_back(slot);
  return {};
}

}  // namespace skep::loader
