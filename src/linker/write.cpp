// The output as a file: its BTF made free of repetition, .BTF.ext, symbols with the local ones first, and the
// sections with what relocates each behind them all.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/limits.hpp"
#include "linker/output.hpp"

namespace skep::linker {

namespace {

class Bytes {
 public:
  template <class T>
  void add(const T& value) {
    append(bytes_of(value));
  }
  void append(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void align(u64 to) { bytes_.resize((bytes_.size() + to - 1) / to * to); }
  [[nodiscard]] u64 size() const { return bytes_.size(); }
  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Names behind one another, each once.
class Strings {
 public:
  Strings() { text_.push_back('\0'); }
  u32 add(const std::string& name) {
    if (name.empty()) return 0;
    const auto [found, added] = offsets_.try_emplace(name, static_cast<u32>(text_.size()));
    if (added) (text_ += name) += '\0';
    return found->second;
  }
  [[nodiscard]] ByteView bytes() const { return bytes_of(std::string_view(text_)); }

 private:
  std::string text_;
  std::map<std::string, u32> offsets_;
};

class Writer {
 public:
  explicit Writer(Output output) : out_(std::move(output)) {}
  Result<std::vector<std::byte>> run();

 private:
  void add_datasecs();
  void rename_types();
  Result<std::vector<std::byte>> ext();
  Result<std::vector<std::byte>> ext_part(RecordKind kind);
  void number_sections();
  void order_symbols();
  void write_symbols();
  void write_relocations();
  [[nodiscard]] Result<void> check_size() const;
  void add_header(Elf64_Shdr header, const std::string& name, ByteView data);

  Output out_;
  Bytes file_;
  Strings names_;
  std::vector<Elf64_Shdr> headers_;
  std::vector<u16> section_number_;
  std::vector<u32> symbol_number_, symbol_order_;
  u32 first_global_ = 0;
};

/// Where BTF lists variables of a section, all of them: the globals as they were resolved at last.
void Writer::add_datasecs() {
  std::vector<std::vector<OutVariable>> variables;
  for (const OutSection& section : out_.sections) variables.push_back(section.statics);
  for (const auto& [name, global] : out_.globals) {
    const btf::Kind kind = out_.types.type(out_.types.current(global.type_id)).type.kind;
    if (!global.section || (kind == btf::Kind::func && !out_.sections[*global.section].only_types)) continue;
    const OutSymbol& symbol = out_.symbols[global.symbol];
    variables[*global.section].push_back({global.type_id, symbol.section ? symbol.value : 0, global.size});
  }
  for (u32 i = 0; i < out_.sections.size(); ++i) {
    const OutSection& section = out_.sections[i];
    if (!section.has_datasec) continue;
    std::ranges::stable_sort(variables[i], {}, &OutVariable::offset);
    btf::BuiltType built;
    built.type.kind = btf::Kind::datasec;
    built.type.name_off = out_.types.add_string(section.name);
    built.type.size = static_cast<u32>(section.size);
    for (const OutVariable& variable : variables[i]) {
      btf::Entry entry;
      entry.type = variable.type_id;
      entry.offset = static_cast<u32>(variable.offset);
      entry.size = variable.size;
      built.entries.push_back(entry);
    }
    out_.types.add(std::move(built));
  }
}

void Writer::rename_types() {
  const std::vector<u32> now = out_.types.deduplicate();
  for (OutSection& section : out_.sections) {
    for (const RecordKind kind : {func_info, core_relos}) {
      OutRecords& records = section.records[kind];
      for (std::size_t at = 0; at < records.bytes.size(); at += records.record_size) {
        std::byte* type = records.bytes.data() + at + 4;
        store(type, now[load<u32>(type)]);
      }
    }
  }
}

/// One of the three tables: the size of a record, then by section its name, how many, and they.
Result<std::vector<std::byte>> Writer::ext_part(RecordKind kind) {
  constexpr std::string_view kNames[] = {"func_info", "line_info", "core_relo_info"};
  Bytes part;
  u32 record_size = 0;
  for (const OutSection& section : out_.sections) {
    const OutRecords& records = section.records[kind];
    if (records.bytes.empty()) continue;
    if (record_size == 0) part.add(record_size = records.record_size);
    if (record_size != records.record_size)
      return fail(EINVAL, fmt::format("mismatch in {} record size {} != {}", kNames[kind], record_size,
                                      records.record_size));
    part.add(out_.types.add_string(section.name));
    part.add(static_cast<u32>(records.bytes.size() / record_size));
    part.append(records.bytes);
  }
  return std::move(part).take();
}

Result<std::vector<std::byte>> Writer::ext() {
  constexpr u32 magic_and_version = 0xeb9f | 1u << 16, header = 32;
  std::vector<std::byte> parts[kRecordKinds];
  for (const RecordKind kind : {func_info, line_info, core_relos}) parts[kind] = TRY(ext_part(kind));
  Bytes out;
  out.add(magic_and_version);
  out.add(header);
  u32 at = 0;
  for (const auto& part : parts) {
    out.add(at);
    out.add(static_cast<u32>(part.size()));
    at += static_cast<u32>(part.size());
  }
  for (const auto& part : parts) out.append(part);
  return std::move(out).take();
}

Result<void> Writer::check_size() const {
  if (file_.size() > limits::max_object_bytes) return fail(E2BIG, "the linked object is larger than 256 MiB");
  return {};
}

void Writer::add_header(Elf64_Shdr header, const std::string& name, ByteView data) {
  file_.align(std::max<u64>(header.sh_addralign, 1));
  header.sh_name = names_.add(name);
  header.sh_offset = file_.size();
  if (header.sh_type != SHT_NOBITS) {
    header.sh_size = data.size();
    file_.append(data);
  }
  headers_.push_back(header);
}

/// 0 is nothing, 1 the names, 2 the symbols; then the sections.
void Writer::number_sections() {
  u16 next = 3;
  section_number_.resize(out_.sections.size());
  for (u32 i = 0; i < out_.sections.size(); ++i)
    if (!out_.sections[i].only_types) section_number_[i] = next++;
}

void Writer::order_symbols() {
  for (u32 i = 0; i < out_.symbols.size(); ++i) symbol_order_.push_back(i);
  const auto local = [&](u32 i) { return out_.symbols[i].binding == STB_LOCAL; };
  const auto globals = std::ranges::stable_partition(symbol_order_, local);
  first_global_ = static_cast<u32>(symbol_order_.size() - globals.size()) + 1;
  symbol_number_.resize(symbol_order_.size());
  for (u32 i = 0; i < symbol_order_.size(); ++i) symbol_number_[symbol_order_[i]] = i + 1;
}

void Writer::write_symbols() {
  Bytes table;
  table.add(Elf64_Sym{});
  for (const u32 i : symbol_order_) {
    const OutSymbol& symbol = out_.symbols[i];
    Elf64_Sym raw{};
    raw.st_name = names_.add(symbol.name);
    raw.st_info = static_cast<u8>(symbol.binding << 4 | (symbol.type & 0xf));
    raw.st_other = symbol.visibility;
    raw.st_shndx = symbol.section ? section_number_[*symbol.section] : symbol.special;
    raw.st_value = symbol.value;
    raw.st_size = symbol.size;
    table.add(raw);
  }
  Elf64_Shdr header{};
  header.sh_type = SHT_SYMTAB;
  header.sh_link = 1;
  header.sh_info = first_global_;
  header.sh_addralign = 8;
  header.sh_entsize = sizeof(Elf64_Sym);
  add_header(header, ".symtab", std::move(table).take());
}

void Writer::write_relocations() {
  for (u32 i = 0; i < out_.sections.size(); ++i) {
    const OutSection& section = out_.sections[i];
    if (section.relocations.empty()) continue;
    Bytes table;
    for (const OutRelocation& relocation : section.relocations)
      table.add(Elf64_Rel{relocation.offset, u64{symbol_number_[relocation.symbol]} << 32 | relocation.type});
    Elf64_Shdr header{};
    header.sh_type = SHT_REL;
    header.sh_flags = SHF_INFO_LINK;
    header.sh_link = 2;
    header.sh_info = section_number_[i];
    header.sh_addralign = 8;
    header.sh_entsize = sizeof(Elf64_Rel);
    add_header(header, ".rel" + section.name, std::move(table).take());
  }
}

Result<std::vector<std::byte>> Writer::run() {
  if (out_.sections.size() > 20000) return fail(E2BIG, "too many sections");
  std::vector<std::byte> btf, ext_bytes;
  if (out_.has_types) {
    add_datasecs();
    rename_types();
    if (out_.has_ext) ext_bytes = TRY(ext());
    btf = TRY(out_.types.bytes());
  }
  number_sections();
  order_symbols();
  file_.append(std::vector<std::byte>(sizeof(Elf64_Ehdr)));
  headers_.resize(2);
  write_symbols();
  for (const OutSection& section : out_.sections) {
    if (section.only_types) continue;
    Elf64_Shdr header{};
    header.sh_type = section.type;
    header.sh_flags = section.flags;
    header.sh_size = section.size;
    header.sh_addralign = section.align;
    header.sh_entsize = section.entry_size;
    TRY(check_size());  // before each section: alignments alone could ask for any amount of memory
    add_header(header, section.name, section.data);
  }
  write_relocations();
  Elf64_Shdr plain{};
  plain.sh_type = SHT_PROGBITS;
  plain.sh_addralign = 8;
  if (out_.has_types) add_header(plain, ".BTF", btf);
  if (!ext_bytes.empty()) add_header(plain, ".BTF.ext", ext_bytes);

  Elf64_Shdr& names = headers_[1];
  names.sh_type = SHT_STRTAB;
  names.sh_addralign = 1;
  names.sh_name = names_.add(".strtab");
  names.sh_offset = file_.size();
  names.sh_size = names_.bytes().size();
  file_.append(names_.bytes());
  file_.align(8);
  Elf64_Ehdr head{};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_REL;
  head.e_machine = EM_BPF;
  head.e_version = EV_CURRENT;
  head.e_shoff = file_.size();
  head.e_ehsize = sizeof(Elf64_Ehdr);
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = static_cast<u16>(headers_.size());
  head.e_shstrndx = 1;
  for (const Elf64_Shdr& header : headers_) file_.add(header);
  TRY(check_size());
  std::vector<std::byte> bytes = std::move(file_).take();
  store(bytes.data(), head);
  return bytes;
}

}  // namespace

Result<std::vector<std::byte>> write_object(Output output) { return Writer(std::move(output)).run(); }

}  // namespace skep::linker
