// Sections: which there may be, where they go, and the relocations that go with them.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/limits.hpp"
#include "isa/insn.hpp"
#include "linker/joining.hpp"

namespace skep::linker {

namespace {
constexpr u32 kLlvmAddrsig = 0x6fff4c03;                                  // SHT_LLVM_ADDRSIG
constexpr u32 kBpf6464 = 1, kBpfAbs64 = 2, kBpfAbs32 = 3, kBpf6432 = 10;  // R_BPF_*

/// Of these the objects must all have the same one.
bool is_single(std::string_view name) { return name == "license" || name == "version"; }

bool is_btf(std::string_view name) { return name == ".BTF" || name == ".BTF.ext"; }

/// Bytes that become part of the output.
bool is_content(const loader::Section& section) {
  return (section.type == SHT_PROGBITS || section.type == SHT_NOBITS) && !is_debug_section(section.name) &&
         !is_btf(section.name);
}
}  // namespace

bool is_debug_section(std::string_view name) {
  if (name.starts_with(".rel.debug_") || name == ".rel.BTF" || name == ".rel.BTF.ext") return true;
  return name.starts_with(".debug_");
}

Result<void> Joining::check_sections() const {
  for (const loader::Section& section : elf_.sections()) {
    if (section.index == 0) continue;
    const auto refuse = [&](const std::string& what) {
      return fail(EINVAL, fmt::format("ELF section #{} {} in {}", section.index, what, file_));
    };
    if (section.name.empty()) return refuse("has empty name");
    if (is_debug_section(section.name)) continue;
    if (section.align != 0 && !std::has_single_bit(section.align))
      return refuse(fmt::format("alignment {} is non pow-of-2 alignment", section.align));
    if (section.align > limits::max_object_bytes)
      return refuse(fmt::format("alignment {} is too large", section.align));
    switch (section.type) {
      case SHT_PROGBITS:
        if ((section.flags & SHF_EXECINSTR) != 0 && section.size % 8 != 0)
          return refuse(fmt::format("has unexpected size alignment {}", section.size));
        break;
      case SHT_NOBITS:
        if (section.size > limits::max_object_bytes)
          return refuse(fmt::format("({}) is too large: {} bytes", section.name, section.size));
        break;
      case SHT_SYMTAB:
      case SHT_STRTAB:
      case SHT_REL:
      case kLlvmAddrsig:
        break;
      default:
        return refuse(fmt::format("({}) has unrecognized type {}", section.name, section.type));
    }
  }
  return {};
}

u32 Joining::section_named(const std::string& name) {
  const auto [found, added] = out_.section_by_name.try_emplace(name, static_cast<u32>(out_.sections.size()));
  if (added) {
    out_.sections.emplace_back();
    out_.sections.back().name = name;
    out_.sections.back().only_types = true;
  }
  return found->second;
}

std::optional<u32> Joining::source_named(std::string_view name) const {
  const auto found = contents_.find(name);
  return found != contents_.end() ? std::optional(found->second) : std::nullopt;
}

Result<void> Joining::place_sections() {
  placed_.resize(elf_.sections().size());
  for (const loader::Section& section : elf_.sections()) {
    if (!is_content(section)) continue;
    contents_.emplace(section.name, section.index);
    if (section.index != 0) TRY(place(section));
  }
  return {};
}

Result<void> Joining::place(const loader::Section& section) {
  const u32 number = section_named(section.name);
  OutSection& target = out_.sections[number];
  if (target.only_types) {
    target.only_types = false;
    target.type = section.type;
    target.flags = section.flags;
    target.entry_size = section.entry_size;
  } else {
    const auto mismatch = [&](std::string_view what) {
      return fail(EINVAL, fmt::format("sec {} {} mismatch; ELF sections {} are incompatible", section.name,
                                      what, section.name));
    };
    if (target.type != section.type) return mismatch("types");
    if (target.flags != section.flags) return mismatch("flags");
    if (target.entry_size != section.entry_size) return mismatch("entsize");
    if (is_single(section.name)) {
      if (chars_of(target.data) != chars_of(section.data))
        return fail(EINVAL,
                    fmt::format("non-identical contents of section '{}' are not supported", section.name));
      return {};  // placed nowhere: its symbols are there already
    }
  }
  const u64 align = std::max({section.align, target.align, u64{1}});
  const u64 offset = (target.size + align - 1) / align * align;
  if (offset + section.size > limits::max_object_bytes)
    return fail(E2BIG, fmt::format("section '{}' becomes too large", section.name));
  target.align = align;
  target.size = offset + section.size;
  if (section.type == SHT_PROGBITS) {
    target.data.resize(offset);
    target.data.insert(target.data.end(), section.data.begin(), section.data.end());
  }
  placed_[section.index] = {number, offset};
  return {};
}

/// An instruction, or a word of data, that counts from its section's start counts from where that is now.
Result<void> Joining::move_addend(OutSection& target, u64 at, const OutRelocation& relocation, u64 by) const {
  if (by == 0) return {};
  if ((target.flags & SHF_EXECINSTR) == 0)
    return fail(EINVAL, "relocation against STT_SECTION in non-exec section is not supported!");
  if (at % 8 != 0 || at + 8 > target.data.size())
    return fail(EINVAL, fmt::format("ELF relo in section {} of {} is outside of it", target.name, file_));
  auto insn = load<isa::Insn>(target.data.data() + at);
  const bool call = insn.code == (isa::op::JMP | isa::op::CALL);
  const u64 step = call ? by / 8 : by;
  if (!call && relocation.type != kBpf6464)
    return fail(EINVAL, fmt::format("ELF relo in section {} of {} is of no instruction that has one",
                                    target.name, file_));
  insn.imm = static_cast<s32>(static_cast<u32>(insn.imm) + static_cast<u32>(step));
  store(target.data.data() + at, insn);
  return {};
}

Result<void> Joining::move_relocations() {
  for (const loader::Section& section : elf_.sections())
    if (section.type == SHT_REL && !is_debug_section(section.name)) TRY(move_relocations(section));
  return {};
}

Result<void> Joining::move_relocations(const loader::Section& section) {
  const loader::Section* relocated = elf_.section(section.info);
  const auto refuse = [&](std::string_view what) {
    return fail(EINVAL, fmt::format("ELF relo section #{} {} in {}", section.index, what, file_));
  };
  if (relocated == nullptr) return refuse(fmt::format("points to missing section #{}", section.info));
  if (section.name != ".rel" + relocated->name) return refuse("name has invalid name");
  if (!is_content(*relocated)) return refuse(fmt::format("points to invalid section #{}", section.info));
  const Placed to = placed_[section.info];
  if (!to.section) return {};  // another object's is used
  for (const loader::Rel& rel : TRY(elf_.relocations(section))) {
    if (rel.type != kBpf6464 && rel.type != kBpf6432 && rel.type != kBpfAbs64 && rel.type != kBpfAbs32)
      return refuse(fmt::format("has unexpected type {}", rel.type));
    if (rel.offset >= relocated->size) return refuse("points outside of its section");
    if (!symbols_[rel.symbol])
      return refuse(fmt::format("points to symbol #{}, which is left out,", rel.symbol));
    OutSection& target = out_.sections[*to.section];
    const OutRelocation relocation{rel.offset + to.offset, *symbols_[rel.symbol], rel.type};
    const loader::Symbol& symbol = elf_.symbols()[rel.symbol];
    if (symbol.type == STT_SECTION && symbol.section < SHN_LORESERVE)
      TRY(move_addend(target, relocation.offset, relocation, placed_[symbol.section].offset));
    target.relocations.push_back(relocation);
  }
  return {};
}

}  // namespace skep::linker
