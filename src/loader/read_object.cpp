// Reading an object: the steps in libbpf's order, and the first of them, which sorts the sections and cuts
// the code into functions.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/fd.hpp"
#include "base/limits.hpp"
#include "loader/errno_name.hpp"
#include "loader/reader.hpp"

namespace skep::loader {

Diagnostics::~Diagnostics() = default;

const ProgramDef* ObjectSpec::program(std::string_view wanted) const {
  for (const ProgramDef& p : programs) {
    if (p.name == wanted) return &p;
  }
  return nullptr;
}

const MapDef* ObjectSpec::map(std::string_view wanted) const {
  for (const MapDef& m : maps) {
    if (m.name == wanted) return &m;
  }
  return nullptr;
}

namespace {

/// libbpf's object name: the file's base name up to its first dot, 63 characters at most.
std::string object_name(const std::string& file) {
  std::string name = file.substr(file.rfind('/') + 1).substr(0, 63);
  return name.substr(0, name.find('.'));
}

/// Sections that say nothing to a loader.
bool ignored(const Section& section) {
  std::string_view name = section.name;
  if (section.type == SHT_STRTAB || section.type == 0x6fff4c03) return true;  // SHT_LLVM_ADDRSIG
  if (section.type == SHT_PROGBITS && section.size == 0 && name == ".text") return true;
  if (name.starts_with(".debug_")) return true;
  if (!name.starts_with(".rel")) return false;
  name.remove_prefix(4);
  return name.starts_with(".debug_") || name == ".BTF" || name == ".BTF.ext";
}

bool named_or_dotted(std::string_view name, std::string_view base) {
  return name == base || (name.starts_with(base) && name[base.size()] == '.');
}

}  // namespace

bool Reader::is_extern(const Symbol& symbol) {
  return symbol.section == SHN_UNDEF && (symbol.binding == STB_GLOBAL || symbol.binding == STB_WEAK) &&
         symbol.type == STT_NOTYPE;
}

bool Reader::is_code(const Section& section) const {
  return section.type == SHT_PROGBITS && (section.flags & SHF_EXECINSTR) != 0;
}

Result<ObjectSpec> Reader::run() {
  say(Level::debug, "loading object from " + spec_.file);
  spec_.name = object_name(spec_.file);
  elf_ = TRY(ElfFile::open(bytes_, spec_.file));
  TRY(collect_sections());
  TRY(parse_btf());
  TRY(collect_externs());
  TRY(fix_btf());
  TRY(collect_btf_maps());
  TRY(collect_legacy_maps());
  TRY(collect_data_maps());
  TRY(collect_kconfig_map());
  TRY(collect_relocations());
  TRY(make_programs());
  return std::move(spec_);
}

void Reader::index_symbols() {
  for (u32 i = 0; i < elf_.symbols().size(); ++i) {
    const Symbol& symbol = elf_.symbols()[i];
    if (symbol.type == STT_FUNC) functions_of_section_[symbol.section].push_back(i);
    if (symbol.type == STT_OBJECT && (symbol.binding == STB_GLOBAL || symbol.binding == STB_WEAK))
      data_symbols_.emplace(symbol.name, &symbol);
  }
}

Result<void> Reader::collect_sections() {
  index_symbols();
  for (const Section& section : elf_.sections()) {
    if (section.index == 0 || ignored(section)) continue;
    say(Level::debug, fmt::format("elf: section({}) {}, size {}, link {}, flags {:x}, type={}", section.index,
                                  section.name, section.size, section.link, section.flags, section.type));
    TRY(collect_section(section));
  }
  std::stable_sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) {
    return a.section != b.section ? a.section < b.section : a.first < b.first;
  });
  return {};
}

Result<void> Reader::collect_section(const Section& section) {
  std::string_view name = section.name;
  if (name == "license") return collect_license(section);
  if (name == "version") {
    if (section.data.size() != 4) return fail(EINVAL, fmt::format("invalid kver section in {}", spec_.file));
    spec_.kern_version = load<u32>(section.data.data());
    return {};
  }
  if (name == "maps" && section.type == SHT_PROGBITS) {
    legacy_maps_section_ = &section;
  } else if (name == ".maps") {
    maps_section_ = &section;
  } else if (name == ".BTF") {
    btf_section_ = &section;
  } else if (name == ".BTF.ext") {
    btf_ext_section_ = &section;
  } else if (section.type == SHT_SYMTAB || section.size == 0) {
    // already read, or nothing in it
  } else if (is_code(section)) {
    if (name == ".text") text_section_ = section.index;
    return collect_functions(section);
  } else if (section.type == SHT_PROGBITS && named_or_dotted(name, ".data")) {
    data_sections_[section.index] = DataKind::data;
  } else if (section.type == SHT_PROGBITS && named_or_dotted(name, ".rodata")) {
    data_sections_[section.index] = DataKind::rodata;
  } else if (section.type == SHT_NOBITS && named_or_dotted(name, ".bss")) {
    data_sections_[section.index] = DataKind::bss;
  } else if (is_table_section(name)) {
    spec_.struct_ops_section = fmt::format("section({}) {}", section.index, name);
  } else if (name == ".addr_space.1" || name == ".arena.1") {
    return fail(ENOTSUP,
                fmt::format("elf: section({}) {}: arena variables are not supported", section.index, name));
  } else if (section.type == SHT_REL) {
    const Section* target = elf_.section(section.info);
    if (target == nullptr)
      return fail(EINVAL,
                  fmt::format("sec '{}': relocates section #{}, which does not exist", name, section.info));
    if (is_code(*target) || target->name == ".maps" || is_table_section(target->name))
      relocation_sections_.push_back(&section);
    else
      say(Level::info, fmt::format("elf: skipping relo section({}) {} for section({}) {}", section.index,
                                   name, section.info, target->name));
  } else {
    say(Level::info,
        fmt::format("elf: skipping section({}) {} (size {})", section.index, name, section.size));
  }
  return {};
}

Result<void> Reader::collect_license(const Section& section) {
  std::string_view text = chars_of(section.data).substr(0, 63);  // libbpf keeps as much
  spec_.license = text.substr(0, text.find('\0'));
  say(Level::debug, fmt::format("license of {} is {}", spec_.file, spec_.license));
  return {};
}

Result<void> Reader::collect_functions(const Section& section) {
  for (u32 number : functions_of_section_[section.index]) {
    const Symbol& symbol = elf_.symbols()[number];
    if (symbol.value > section.size || symbol.size > section.size - symbol.value)
      return fail(EINVAL, fmt::format("sec '{}': program at offset {} crosses section boundary", section.name,
                                      symbol.value));
    if (section.name != ".text" && symbol.binding == STB_LOCAL)
      return fail(ENOTSUP, fmt::format("sec '{}': program '{}' is static and not supported", section.name,
                                       symbol.name));
    if (symbol.size == 0 || symbol.size % 8 != 0 || symbol.value % 8 != 0)
      return fail(EINVAL, fmt::format("sec '{}': corrupted program '{}', offset {}, size {}", section.name,
                                      symbol.name, symbol.value, symbol.size));
    say(Level::debug,
        fmt::format(
            "sec '{}': found program '{}' at insn offset {} ({} bytes), code size {} insns ({} bytes)",
            section.name, symbol.name, symbol.value / 8, symbol.value, symbol.size / 8, symbol.size));
    if (symbol.size / 8 > limits::max_insns)
      return fail(E2BIG, fmt::format("sec '{}': program '{}' has more than {} instructions", section.name,
                                     symbol.name, limits::max_insns));
    // Functions do not overlap, so all of them together are no longer than the code; a file that says so
    // lies.
    instructions_ += symbol.size / 8;
    if (instructions_ > kMaxInstructions)
      return fail(E2BIG, fmt::format("sec '{}': the functions of {} are longer than its code", section.name,
                                     spec_.file));
    Function function;
    function.name = symbol.name;
    function.section = section.index;
    function.first = static_cast<u32>(symbol.value / 8);
    function.global = symbol.binding != STB_LOCAL;
    function.hidden = symbol.visibility == STV_HIDDEN || symbol.visibility == STV_INTERNAL;
    function.insns.resize(symbol.size / 8);
    std::memcpy(function.insns.data(), section.data.data() + symbol.value, symbol.size);
    functions_.push_back(std::move(function));
  }
  return {};
}

Result<void> Reader::parse_btf() {
  bool needed =
      maps_section_ != nullptr || std::any_of(elf_.symbols().begin(), elf_.symbols().end(), is_extern);
  if (btf_section_ == nullptr) {
    if (needed) return fail(ENOENT, "BTF is required, but is missing or corrupted.");
    return {};
  }
  ByteView bytes = btf_section_->data;
  Result<btf::Btf> parsed = btf::Btf::parse({bytes.begin(), bytes.end()}, nullptr, btf::Checks::structure);
  if (!parsed) {
    std::string what = fmt::format("Error loading ELF section .BTF: {}", parsed.error().what);
    if (needed) return fail(parsed.error().code, std::move(what));
    say(Level::warning, what + ". Ignored and continue.");
    return {};
  }
  spec_.btf = std::move(*parsed);
  if (btf_ext_section_ == nullptr) return {};
  Result<BtfExt> ext = BtfExt::parse(btf_ext_section_->data, *spec_.btf);
  if (ext)
    ext_ = std::move(*ext);
  else
    say(Level::warning,
        fmt::format("Error loading ELF section .BTF.ext: {}. Ignored and continue.", ext.error().what));
  return {};
}

namespace {

/// An error is also the last message, as libbpf warns of it.
Result<ObjectSpec> told(Result<ObjectSpec> result, Diagnostics* diagnostics) {
  if (!result && diagnostics != nullptr) diagnostics->message(Level::warning, result.error().what);
  return result;
}

}  // namespace

Result<ObjectSpec> read_object(ByteView bytes, const std::string& file, Diagnostics* diagnostics,
                               bool relaxed_maps) {
  if (bytes.size() > limits::max_object_bytes)
    return told(fail(EFBIG, fmt::format("{} is larger than 256 MiB", file)), diagnostics);
  return told(Reader(bytes, file, diagnostics, relaxed_maps).run(), diagnostics);
}

Result<ObjectSpec> open_object(const std::string& path, Diagnostics* diagnostics, bool relaxed_maps) {
  Result<std::string> text = read_file(path, limits::max_object_bytes);
  if (text) return read_object(bytes_of(*text), path, diagnostics, relaxed_maps);
  int code = text.error().code;
  return told(fail(code, fmt::format("elf: failed to open {}: {}", path, errno_name(code))), diagnostics);
}

Result<btf::Btf> read_btf_file(const std::string& path, const btf::Btf* base) {
  std::string text = TRY(read_file(path, limits::max_object_bytes));
  ByteView bytes = bytes_of(text);
  if (bytes.size() >= 2 && load<u16>(bytes.data()) == 0xeb9f)
    return btf::Btf::parse({bytes.begin(), bytes.end()}, base, btf::Checks::structure);
  ElfFile elf = TRY(ElfFile::open_any(bytes, path));
  const Section* section = elf.find(".BTF");
  if (section == nullptr || section->data.empty())
    return fail(ENODATA, fmt::format("{} has no .BTF section", path));
  return btf::Btf::parse({section->data.begin(), section->data.end()}, base, btf::Checks::structure);
}

}  // namespace skep::loader
