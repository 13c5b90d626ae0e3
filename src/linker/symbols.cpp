// Symbols: local ones stay what they are, the others are resolved between the objects. A definition takes
// the place of an extern, a strong one that of a weak one, the first weak one stays; two strong ones are an
// error.
#include <elf.h>
#include <fmt/format.h>

#include "linker/joining.hpp"
#include "linker/types_match.hpp"

namespace skep::linker {

Result<void> Joining::check_symbols() const {
  const auto& symbols = elf_.symbols();
  for (u32 i = 1; i < symbols.size(); ++i) {
    const loader::Symbol& symbol = symbols[i];
    if (symbol.binding != STB_LOCAL && symbol.binding != STB_GLOBAL && symbol.binding != STB_WEAK)
      return fail(EINVAL, fmt::format("ELF sym #{} in section #{} has unsupported symbol binding {}", i,
                                      elf_.symbols_section(), symbol.binding));
    if (symbol.visibility != STV_DEFAULT && symbol.visibility != STV_HIDDEN)
      return fail(EINVAL, fmt::format("ELF sym #{} in section #{} has unsupported symbol visibility {}", i,
                                      elf_.symbols_section(), symbol.visibility));
    const bool nothing =
        symbol.type == STT_NOTYPE && symbol.binding != STB_LOCAL && symbol.value == 0 && symbol.size == 0;
    if (is_extern(symbol) && !nothing)
      return fail(EINVAL, fmt::format("ELF sym #{} is invalid extern symbol in {}", i, file_));
  }
  return {};
}

Result<void> Joining::take_symbols() {
  symbols_.resize(elf_.symbols().size());
  for (u32 i = 1; i < symbols_.size(); ++i) TRY(take_symbol(i));
  return {};
}

u32 Joining::add_symbol(const loader::Symbol& symbol, std::optional<u32> section, u64 moved) {
  OutSymbol added;
  added.name = symbol.type == STT_SECTION ? "" : symbol.name;
  added.value = symbol.value + moved;
  added.size = symbol.size;
  added.section = section;
  added.special = static_cast<u16>(section ? 0 : symbol.section);
  added.type = symbol.type;
  added.binding = symbol.binding;
  added.visibility = symbol.visibility;
  out_.symbols.push_back(std::move(added));
  return static_cast<u32>(out_.symbols.size() - 1);
}

Result<void> Joining::take_symbol(u32 number) {
  const loader::Symbol& symbol = elf_.symbols()[number];
  if (is_extern(symbol)) {
    if (!btf_) return fail(ENOTSUP, "externs without BTF info are not supported");
    return take_global(number);
  }
  if (symbol.section >= SHN_LORESERVE) {
    symbols_[number] = add_symbol(symbol, std::nullopt, 0);
    return {};
  }
  const Placed at = placed_[symbol.section];
  if (!at.section) return {};  // of debugging information, or in another object already
  if (symbol.value > elf_.section(symbol.section)->size)
    return fail(EINVAL, fmt::format("ELF sym #{} ({}) lies outside of its section in {}", number, symbol.name,
                                    file_));
  OutSection& section = out_.sections[*at.section];
  if (symbol.type == STT_SECTION) {
    if (!section.symbol) section.symbol = add_symbol(symbol, at.section, 0);
    symbols_[number] = section.symbol;
    return {};
  }
  if (symbol.binding != STB_LOCAL && section.name != ".jumptables") return take_global(number);
  symbols_[number] = add_symbol(symbol, at.section, at.offset);
  return {};
}

/// The FUNC or VAR that says what a global symbol is.
Result<Joining::Typed> Joining::find_type(const loader::Symbol& symbol) const {
  if (!btf_) return fail(ENOENT, fmt::format("failed to find BTF info for object '{}'", file_));
  const auto found = typed_.find(symbol.name);
  if (found == typed_.end())
    return fail(ENOENT, fmt::format("failed to find BTF info for global/extern symbol '{}'", symbol.name));
  const Typed* chosen = nullptr;
  for (const Typed& typed : found->second) {
    // A definition is of the section in which it lies; an extern's may be known to BTF alone.
    if (!typed.datasec.empty() && !is_extern(symbol) && elf_.section_name(symbol.section) != typed.datasec)
      continue;
    if (chosen != nullptr)
      return fail(EINVAL, fmt::format("global/extern '{}' BTF is ambiguous: both types #{} and #{} match",
                                      symbol.name, chosen->type_id, typed.type_id));
    chosen = &typed;
  }
  if (chosen == nullptr)
    return fail(ENOENT, fmt::format("failed to find BTF info for global/extern symbol '{}'", symbol.name));
  return *chosen;
}

Result<void> Joining::take_global(u32 number) {
  const loader::Symbol& symbol = elf_.symbols()[number];
  const Typed typed = TRY(find_type(symbol));
  Global mine;
  mine.type_id = ids_[typed.type_id];
  mine.is_extern = is_extern(symbol);
  mine.weak = symbol.binding == STB_WEAK;
  mine.size = typed.size;
  // Externs without a section are listed in ".extern", which is none.
  if (!mine.is_extern) {
    mine.section = placed_[symbol.section].section;
  } else if (!typed.datasec.empty() && typed.datasec != ".extern") {
    mine.section = section_named(std::string(typed.datasec));
    out_.sections[*mine.section].has_datasec = true;
  }
  const auto known = out_.globals.find(symbol.name);
  if (known != out_.globals.end()) return resolve(number, known->second, mine);
  if (mine.is_extern) {
    mine.symbol = add_symbol(symbol, std::nullopt, 0);
  } else {
    mine.symbol = add_symbol(symbol, mine.section, placed_[symbol.section].offset);
  }
  symbols_[number] = mine.symbol;
  out_.globals.emplace(symbol.name, mine);
  return {};
}

Result<void> Joining::resolve(u32 number, Global& global, const Global& mine) {
  const loader::Symbol& symbol = elf_.symbols()[number];
  symbols_[number] = global.symbol;
  if (!mine.is_extern && !global.is_extern && !mine.weak && !global.weak)
    return fail(EINVAL, fmt::format("conflicting non-weak symbol #{} ({}) definition in '{}'", number,
                                    symbol.name, file_));
  if (mine.section && global.section && *mine.section != *global.section &&
      (mine.is_extern || global.is_extern))
    return fail(EINVAL, fmt::format("global '{}': section mismatch {} vs {}", symbol.name,
                                    out_.sections[*global.section].name, out_.sections[*mine.section].name));
  const bool map = mine.section && out_.sections[*mine.section].name == ".maps";
  TRY(map ? maps_match(symbol.name, out_.types, global.type_id, mine.type_id)
          : types_match(symbol.name, out_.types, global.type_id, mine.type_id));
  OutSymbol& target = out_.symbols[global.symbol];
  // One strong mention makes it strong, one hidden mention hides it.
  const bool wins = !mine.is_extern && (global.is_extern || (global.weak && !mine.weak));
  if (!mine.weak) {
    target.binding = STB_GLOBAL;
    global.weak = false;
  }
  target.visibility = std::max(target.visibility, symbol.visibility);
  if (!wins) {
    out_.types.replace(mine.type_id, global.type_id);
    if (global.is_extern && !global.section) global.section = mine.section;
    return {};
  }
  target.type = symbol.type;
  target.section = mine.section;
  target.special = 0;
  target.value = placed_[symbol.section].offset + symbol.value;
  target.size = symbol.size;
  out_.types.replace(global.type_id, mine.type_id);
  global.type_id = mine.type_id;
  global.is_extern = false;
  global.section = mine.section;
  global.size = mine.size;
  return {};
}

}  // namespace skep::linker
