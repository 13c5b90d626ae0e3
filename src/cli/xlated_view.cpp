// Builds the view of translated instructions, and prints it as text and as JSON.
#include "cli/xlated_view.hpp"

#include "btf/print.hpp"
#include "isa/disasm.hpp"

namespace skep::cli {

namespace {

/// What disassembly asks for beyond the instruction: who is called, which map is meant.
struct Names {
  const ProgramInfo& info;
  const SymbolTable& symbols;

  [[nodiscard]] const Symbol* find(u64 address) const {
    const auto& all = symbols.symbols;
    const auto at = std::lower_bound(all.begin(), all.end(), address,
                                     [](const Symbol& s, u64 wanted) { return s.address < wanted; });
    return at != all.end() && at->address == address ? &*at : nullptr;
  }

  /// A bpf-to-bpf call holds the distance in `off` and the callee's number in `imm` once it is translated.
  [[nodiscard]] std::string subprogram(const isa::Insn& insn) const {
    if (info.jited_ksyms.empty()) return fmt::format("pc{:+d}", insn.off);
    const auto number = static_cast<u32>(insn.imm);
    const u64 address = number < info.jited_ksyms.size()
                            ? info.jited_ksyms[number]
                            : symbols.call_base + static_cast<u64>(s64{insn.imm});
    const Symbol* symbol = find(address);
    return symbol != nullptr ? fmt::format("pc{:+d}#{}", insn.off, symbol->name)
                             : fmt::format("pc{:+d}#0x{:x}", insn.off, address);
  }

  [[nodiscard]] std::string call(const isa::Insn& insn) const {
    if (insn.src == uapi::PSEUDO_CALL) return subprogram(insn);
    const u64 address = symbols.call_base + static_cast<u64>(s64{insn.imm});
    const Symbol* symbol = find(address);
    return symbol != nullptr ? fmt::format("{}#{}", symbol->name, insn.imm)
                             : fmt::format("0x{:x}#{}", address, insn.imm);
  }

  static std::string immediate(const isa::Insn& first, u64 value) {
    const auto low = static_cast<u32>(first.imm);
    const auto high = static_cast<u32>(value >> 32);
    switch (first.src) {
      case uapi::PSEUDO_MAP_FD:
        return fmt::format("map[id:{}]", low);
      case uapi::PSEUDO_MAP_VALUE:
        return fmt::format("map[id:{}][0]+{}", low, high);
      case uapi::PSEUDO_MAP_IDX_VALUE:
        return fmt::format("map[idx:{}]+{}", low, high);
      case uapi::PSEUDO_FUNC:
        return fmt::format("subprog[{:+d}]", first.imm);
      default:
        return fmt::format("0x{:x}", value);
    }
  }
};

std::string trimmed(std::string_view text) {
  const auto at = text.find_first_not_of(" \t\n\v\f\r");
  return at == std::string_view::npos ? std::string() : std::string(text.substr(at));
}

/// Prototypes and source lines, attached to the instructions where they begin.
void attach_source(XlatedView& view, const ProgramInfo& info, const btf::Btf& types) {
  const auto functions = func_records(info.func_info);
  const auto lines = line_records(info.line_info);
  const auto offset = [](const LineRecord& record) -> u64 { return record.insn_off; };
  std::size_t function = 0;
  std::size_t skip = 0;
  for (XlatedLine& line : view.lines) {
    if (function < functions.size() && functions[function].insn_off == line.index)
      line.prototype = btf::type_text(types, functions[function++].type_id);
    if (const LineRecord* record = find_line(lines, skip, line.index, offset)) {
      line.source = source_line(*record, types);
      ++skip;
    }
    if (const LineRecord* record = find_line(lines, 0, line.index, offset)) {
      line.source_here = source_line(*record, types);
      line.source_number = static_cast<u32>(record - lines.data()) + 1;
    }
  }
}

ByteView insn_bytes(const isa::Insn& insn) { return bytes_of(insn); }

}  // namespace

XlatedView view_xlated(const ProgramInfo& info, const btf::Btf* program_btf, const SymbolTable& symbols) {
  XlatedView view;
  view.insns = info.xlated;
  const Names names{info, symbols};
  const isa::Symbols callbacks{
      .self = &names,
      .call = [](const void* self,
                 const isa::Insn& insn) { return static_cast<const Names*>(self)->call(insn); },
      .imm64 = [](const void*, const isa::Insn& first, u64 value) { return Names::immediate(first, value); },
  };
  const std::span<const isa::Insn> all = view.insns;
  for (std::size_t i = 0; i < all.size(); ++i) {
    XlatedLine line;
    line.index = static_cast<u32>(i);
    line.insn = all[i];
    line.text = isa::disassemble(all.subspan(i), callbacks);
    if (isa::is_ld_imm64(all[i]) && i + 1 < all.size()) line.second = all[++i];
    view.lines.push_back(std::move(line));
  }
  if (program_btf != nullptr) attach_source(view, info, *program_btf);
  return view;
}

SourceLine source_line(const LineRecord& record, const btf::Btf& btf) {
  return {trimmed(btf.string(record.line_off)), std::string(btf.string(record.file_name_off)), record.line,
          record.column};
}

std::string source_text(const SourceLine& source, bool linum, std::string_view prefix) {
  if (!linum) return fmt::format("{}{}\n", prefix, source.text);
  return fmt::format("{}{} [file:{} line_num:{} line_col:{}]\n", prefix, source.text, source.file,
                     source.line, source.column);
}

void source_json(JsonWriter& json, const SourceLine& source, bool linum) {
  json.field("src", std::string_view(source.text));
  if (!linum) return;
  json.field("file", std::string_view(source.file));
  if (source.line != 0) json.field("line_num", source.line);
  if (source.column != 0) json.field("line_col", source.column);
}

std::string hex_bytes(ByteView bytes, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i != 0) text += i % 16 == 0 ? "\n" : i % 8 == 0 ? "  " : separator;
    text += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

void hex_bytes_json(JsonWriter& json, ByteView bytes) {
  json.begin_array();
  for (const std::byte byte : bytes) json.raw(fmt::format("\"0x{:02x}\"", std::to_integer<unsigned>(byte)));
  json.end_array();
}

void print_xlated_plain(Cli& cli, const XlatedView& view, const XlatedOptions& options) {
  for (const XlatedLine& line : view.lines) {
    if (!line.prototype.empty()) cli.print("{}:\n", line.prototype);
    if (line.source) cli.print("{}", source_text(*line.source, options.linum));
    cli.print("{:4}: {}\n", line.index, line.text);
    if (!options.opcodes) continue;
    cli.print("       {}", hex_bytes(insn_bytes(line.insn)));
    if (line.second) cli.print(" {}", hex_bytes(insn_bytes(*line.second)));
    cli.print("\n");
  }
}

void print_xlated_json(JsonWriter& json, const XlatedView& view, const XlatedOptions& options) {
  json.begin_array();
  for (const XlatedLine& line : view.lines) {
    json.begin_object();
    if (!line.prototype.empty()) json.field("proto", std::string_view(line.prototype));
    if (line.source) source_json(json, *line.source, options.linum);
    json.field("disasm", std::string_view(line.text));
    if (options.opcodes) {
      json.name("opcodes");
      json.begin_object();
      json.field("code", std::string_view(fmt::format("0x{:02x}", line.insn.code)));
      json.field("src_reg", std::string_view(fmt::format("0x{:x}", static_cast<unsigned>(line.insn.src))));
      json.field("dst_reg", std::string_view(fmt::format("0x{:x}", static_cast<unsigned>(line.insn.dst))));
      json.name("off");
      const s16 off = line.insn.off;
      hex_bytes_json(json, bytes_of(off));
      json.name("imm");
      // ld_imm64: the four bytes of the first half and all eight of the second
      std::vector<std::byte> imm;
      const auto append = [&imm](ByteView bytes) { imm.insert(imm.end(), bytes.begin(), bytes.end()); };
      append(insn_bytes(line.insn).subspan(4));
      if (line.second) append(insn_bytes(*line.second));
      hex_bytes_json(json, imm);
      json.end_object();
    }
    json.end_object();
  }
  json.end_array();
}

}  // namespace skep::cli
