// libelf on memory. Its handle lives only inside read(): what is kept are plain values.
#include "loader/elf_file.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <libelf.h>

#include <memory>

namespace skep::loader {

namespace {

struct EndElf {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, EndElf>;

Result<void> check_kind(Elf* elf, const std::string& file, bool bpf_only) {
  if (elf == nullptr || elf_kind(elf) != ELF_K_ELF)
    return fail(EINVAL, fmt::format("elf: '{}' is not a proper ELF object", file));
  std::size_t size = 0;
  const char* ident = elf_getident(elf, &size);
  if (ident == nullptr || size < EI_NIDENT || ident[EI_CLASS] != ELFCLASS64)
    return fail(EINVAL, fmt::format("elf: '{}' is not a 64-bit ELF object", file));
  if (ident[EI_DATA] != ELFDATA2LSB)
    return fail(EINVAL, fmt::format("elf: endianness mismatch in {}: only little-endian is supported", file));
  const Elf64_Ehdr* raw = elf64_getehdr(elf);
  if (raw == nullptr) return fail(EINVAL, fmt::format("elf: failed to get ELF header from {}", file));
  auto header = load<Elf64_Ehdr>(raw);
  // libbpf also takes objects of machine 0, which very old compilers made.
  if (bpf_only && (header.e_type != ET_REL || (header.e_machine != 0 && header.e_machine != EM_BPF)))
    return fail(EINVAL, fmt::format("elf: {} is not a valid eBPF object file", file));
  return {};
}

Result<Section> read_section(Elf* elf, ByteView bytes, u32 index, std::size_t names,
                             const std::string& file) {
  Section section;
  section.index = index;
  if (index == 0) return section;
  Elf_Scn* scn = elf_getscn(elf, index);
  const Elf64_Shdr* raw = scn == nullptr ? nullptr : elf64_getshdr(scn);
  if (raw == nullptr)
    return fail(EINVAL, fmt::format("elf: failed to get section({}) header from {}", index, file));
  // A copy: where the file puts its headers at an odd offset, libelf's pointer is not aligned.
  auto header = load<Elf64_Shdr>(raw);
  const char* name = elf_strptr(elf, names, header.sh_name);
  if (name == nullptr)
    return fail(EINVAL, fmt::format("elf: failed to get section({}) name from {}", index, file));
  section.name = name;
  section.type = header.sh_type;
  section.flags = header.sh_flags;
  section.link = header.sh_link;
  section.info = header.sh_info;
  section.size = header.sh_size;
  section.entry_size = header.sh_entsize;
  section.align = header.sh_addralign;
  section.file_offset = header.sh_offset;
  if (section.type == SHT_NOBITS || section.type == SHT_NULL) return section;
  Result<ByteView> data = ByteReader(bytes, file).sub(header.sh_offset, header.sh_size);
  if (!data)
    return fail(
        EINVAL,
        fmt::format(
            "elf: section({}) {} of {}: {} bytes at offset {} run past the end of the file ({} bytes)", index,
            section.name, file, header.sh_size, header.sh_offset, bytes.size()));
  section.data = *data;
  return section;
}

}  // namespace

Result<ElfFile> ElfFile::read(ByteView bytes, const std::string& file, bool bpf_only) {
  if (elf_version(EV_CURRENT) == EV_NONE) return fail(EINVAL, "elf: libelf is too old");
  // libelf may write to the image it is given, so it gets a copy.
  std::vector<std::byte> image(bytes.begin(), bytes.end());
  image.resize(image.size() + 1);  // never a null pointer
  ElfHandle elf(elf_memory(reinterpret_cast<char*>(image.data()), bytes.size()));
  TRY(check_kind(elf.get(), file, bpf_only));
  std::size_t count = 0, names = 0;
  if (elf_getshdrnum(elf.get(), &count) != 0 || elf_getshdrstrndx(elf.get(), &names) != 0)
    return fail(EINVAL, fmt::format("elf: failed to get the section headers of {}", file));
  if (count > 65536) return fail(EINVAL, fmt::format("elf: {} has too many sections ({})", file, count));
  ElfFile result;
  for (std::size_t i = 0; i < count; ++i)
    result.sections_.push_back(TRY(read_section(elf.get(), bytes, static_cast<u32>(i), names, file)));
  if (!bpf_only) return result;
  for (const Section& section : result.sections_) {
    if (section.type != SHT_SYMTAB) continue;
    if (result.symbols_section_ != 0)
      return fail(EINVAL, fmt::format("elf: multiple symbol tables in {}", file));
    result.symbols_section_ = section.index;
  }
  if (result.symbols_section_ == 0)
    return fail(ENOENT, fmt::format("elf: couldn't find symbol table in {}, stripped object file?", file));
  TRY(result.read_symbols(bytes));
  return result;
}

Result<void> ElfFile::read_symbols(ByteView) {
  const Section& table = sections_[symbols_section_];
  const Section* strings = section(table.link);
  if (strings == nullptr || strings->type != SHT_STRTAB)
    return fail(EINVAL, fmt::format("elf: section({}) {}: symbol strings section missing or invalid",
                                    table.index, table.name));
  if (table.entry_size != sizeof(Elf64_Sym) || table.size % sizeof(Elf64_Sym) != 0)
    return fail(EINVAL, fmt::format("elf: section({}) {}: size {} is no multiple of a symbol's", table.index,
                                    table.name, table.size));
  ByteReader text(strings->data, strings->name);
  for (u64 at = 0; at < table.size; at += sizeof(Elf64_Sym)) {
    auto raw = load<Elf64_Sym>(table.data.data() + at);
    Symbol symbol;
    symbol.value = raw.st_value;
    symbol.size = raw.st_size;
    symbol.section = raw.st_shndx;
    symbol.type = ELF64_ST_TYPE(raw.st_info);
    symbol.binding = ELF64_ST_BIND(raw.st_info);
    symbol.visibility = ELF64_ST_VISIBILITY(raw.st_other);
    if (symbol.section < SHN_LORESERVE && symbol.section >= sections_.size())
      return fail(EINVAL, fmt::format("elf: section({}) {}: symbol #{} points to invalid section #{}",
                                      table.index, table.name, at / sizeof(Elf64_Sym), symbol.section));
    if (symbol.type == STT_SECTION && raw.st_name == 0)
      symbol.name = section_name(symbol.section);
    else if (raw.st_name != 0)
      symbol.name =
          TRY(with_context(text.string(raw.st_name), fmt::format("elf: symbol #{}", at / sizeof(Elf64_Sym))));
    symbols_.push_back(std::move(symbol));
  }
  return {};
}

Result<ElfFile> ElfFile::open(ByteView bytes, const std::string& file) { return read(bytes, file, true); }
Result<ElfFile> ElfFile::open_any(ByteView bytes, const std::string& file) {
  return read(bytes, file, false);
}

const Section* ElfFile::find(std::string_view name) const {
  for (const Section& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::string_view ElfFile::section_name(u32 index) const {
  const Section* found = section(index);
  return found == nullptr ? std::string_view("<?>") : std::string_view(found->name);
}

Result<std::vector<Rel>> ElfFile::relocations(const Section& section) const {
  auto damaged = [&](u64 number, const char* what) {
    return fail(EINVAL, fmt::format("sec '{}': {} for relo #{}", section.name, what, number));
  };
  if (section.entry_size != sizeof(Elf64_Rel) || section.size % sizeof(Elf64_Rel) != 0)
    return damaged(0, "invalid entry size");
  if (section.link != symbols_section_) return damaged(0, "unknown symbol table");
  std::vector<Rel> out;
  for (u64 i = 0; i < section.size / sizeof(Elf64_Rel); ++i) {
    auto raw = load<Elf64_Rel>(section.data.data() + i * sizeof(Elf64_Rel));
    Rel rel{raw.r_offset, static_cast<u32>(ELF64_R_SYM(raw.r_info)),
            static_cast<u32>(ELF64_R_TYPE(raw.r_info))};
    if (rel.symbol >= symbols_.size()) return damaged(i, "symbol not found");
    out.push_back(rel);
  }
  return out;
}

}  // namespace skep::loader
