// Disassembles machine code with capstone in AT&T syntax, spelled as LLVM spells it (which is what bpftool
// links): immediates and displacements in decimal, targets of jumps in hexadecimal, no blank inside
// parentheses.
#include "cli/jited_view.hpp"

#include <capstone/capstone.h>

#include "base/bytes.hpp"
#include "btf/print.hpp"

namespace skep::cli {

namespace {

class Disassembler {
 public:
  Disassembler() = default;
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;
  ~Disassembler() {
    if (open_) cs_close(&handle_);
  }

  Outcome<void> open() {
#if defined(__aarch64__)
    const cs_err error = cs_open(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, &handle_);
#else
    const cs_err error = cs_open(CS_ARCH_X86, CS_MODE_64, &handle_);
#endif
    if (error != CS_ERR_OK)
      return refuse(fmt::format("no disassembler for this machine: {}", cs_strerror(error)));
    open_ = true;
    cs_option(handle_, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
    return {};
  }

  /// One instruction at the front of `code`, which runs at `address`; none if the bytes are no instruction.
  [[nodiscard]] std::optional<JitedInsn> next(ByteView code, u64 address) const {
    cs_insn* found = nullptr;
    const std::size_t n =
        cs_disasm(handle_, reinterpret_cast<const u8*>(code.data()), code.size(), address, 1, &found);
    if (n == 0) return unknown_word(code);
    JitedInsn insn;
    insn.bytes.assign(code.begin(), code.begin() + found[0].size);
    insn.operation = found[0].mnemonic;
    insn.operands = as_llvm(found[0].op_str);
    cs_free(found, n);
    return insn;
  }

 private:
  /// Where instructions are words, one that this capstone does not know is still one (4.0 lacks ARMv8.1's
  /// atomics): as GNU as and objdump spell it.
  static std::optional<JitedInsn> unknown_word([[maybe_unused]] ByteView code) {
#if defined(__aarch64__)
    if (code.size() < 4) return std::nullopt;
    JitedInsn insn;
    insn.bytes.assign(code.begin(), code.begin() + 4);
    insn.operation = ".inst";
    insn.operands = fmt::format("0x{:08x}", load<u32>(code.data()));
    return insn;
#else
    return std::nullopt;
#endif
  }

  /// "$0x10" -> "$16", "-0x8(%rbp)" -> "-8(%rbp)", "(%rax, %rax)" -> "(%rax,%rax)".
  static std::string as_llvm(std::string_view text) {
    std::string out;
    bool inside = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '(') inside = true;
      if (text[i] == ')') inside = false;
      if (inside && text[i] == ' ') continue;
      if (text.substr(i).starts_with("0x")) {
        const std::size_t end = std::min(text.find_first_not_of("0123456789abcdef", i + 2), text.size());
        const bool immediate =
            i > 0 && (text[i - 1] == '$' || (text[i - 1] == '-' && i > 1 && text[i - 2] == '$'));
        const bool displacement = end < text.size() && text[end] == '(';
        const auto value = parse_unsigned(text.substr(i, end - i));
        if (value && (immediate || displacement)) {
          const auto is_negative = static_cast<s64>(*value) < 0;
          out += is_negative ? fmt::format("{}", static_cast<s64>(*value)) : fmt::format("{}", *value);
        } else {
          out += text.substr(i, end - i);
        }
        i = end - 1;
        continue;
      }
      out += text[i];
    }
    return out;
  }

  csh handle_ = 0;
  bool open_ = false;
};

/// A line of source and the address of its first machine instruction.
struct AddressedLine {
  u64 address = 0;
  LineRecord record;
};

std::vector<AddressedLine> lines_within(const ProgramInfo& info, u64 begin, u64 size) {
  std::vector<AddressedLine> lines;
  const auto records = line_records(info.line_info);
  for (std::size_t i = 0; i < records.size() && i < info.jited_line_info.size(); ++i) {
    const u64 address = info.jited_line_info[i];
    if (address >= begin && address - begin < size) lines.push_back({address, records[i]});
  }
  return lines;
}

Outcome<void> disassemble_function(const Disassembler& disassembler, ByteView code, u64 address,
                                   const std::vector<AddressedLine>& lines, const btf::Btf* types,
                                   JitedFunction& function) {
  std::size_t skip = 0;
  u64 at = 0;
  while (at < code.size()) {
    auto insn = disassembler.next(code.subspan(at), address + at);
    if (!insn)
      return refuse(fmt::format("machine code of {} has no instruction at offset {}", function.name, at));
    insn->offset = at;
    const auto* line = find_line(lines, skip, address + at, [](const AddressedLine& l) { return l.address; });
    if (line != nullptr && types != nullptr) {
      insn->source = source_line(line->record, *types);
      ++skip;
    }
    at += insn->bytes.size();
    function.insns.push_back(std::move(*insn));
  }
  return {};
}

std::string symbol_name(const SymbolTable& symbols, u64 address) {
  for (const Symbol& symbol : symbols.symbols)
    if (symbol.address == address) return symbol.name;
  return fmt::format("0x{:016x}", address);
}

std::vector<std::string> words_of(std::string_view operands) {
  constexpr std::string_view breaks = " \t,()";
  std::vector<std::string> words;
  std::size_t at = 0;
  while ((at = operands.find_first_not_of(breaks, at)) != std::string_view::npos) {
    const std::size_t end = std::min(operands.find_first_of(breaks, at), operands.size());
    words.emplace_back(operands.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

Outcome<JitedView> view_jited(const ProgramInfo& info, const btf::Btf* program_btf,
                              const SymbolTable& symbols) {
  Disassembler disassembler;
  TRY(disassembler.open());
  JitedView view;
  view.listed = !info.jited_func_lens.empty();
  const std::vector<u32> whole{static_cast<u32>(info.jited.size())};
  const auto& lengths = view.listed ? info.jited_func_lens : whole;
  const auto functions = func_records(info.func_info);
  const ByteView code = info.jited;
  u64 at = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] > code.size() - at) return refuse("the lengths of the functions exceed the machine code");
    const bool has_address = i < info.jited_ksyms.size();
    const u64 address = has_address ? info.jited_ksyms[i] : 0;
    JitedFunction function;
    function.name = has_address ? symbol_name(symbols, address) : "unknown";
    if (program_btf != nullptr && i < functions.size())
      function.prototype = btf::type_text(*program_btf, functions[i].type_id);
    const auto lines = has_address ? lines_within(info, address, lengths[i]) : std::vector<AddressedLine>();
    TRY(disassemble_function(disassembler, code.subspan(at, lengths[i]), address, lines, program_btf,
                             function));
    at += lengths[i];
    view.functions.push_back(std::move(function));
  }
  return view;
}

void print_jited_plain(Cli& cli, const JitedView& view, const XlatedOptions& options) {
  for (const JitedFunction& function : view.functions) {
    if (!function.prototype.empty()) cli.print("{}:\n", function.prototype);
    if (view.listed) cli.print("{}:\n", function.name);
    for (const JitedInsn& insn : function.insns) {
      if (insn.source) cli.print("{}", source_text(*insn.source, options.linum));
      cli.print("{:4x}:\t{}{}{}", insn.offset, insn.operation, insn.operands.empty() ? "" : "\t",
                insn.operands);
      if (options.opcodes) {
        cli.print("\n\t");
        for (const std::byte byte : insn.bytes) cli.print("{:02x} ", std::to_integer<unsigned>(byte));
      }
      cli.print("\n");
    }
    if (view.listed) cli.print("\n");
  }
}

void print_jited_json(JsonWriter& json, const JitedView& view, const XlatedOptions& options) {
  if (view.listed) json.begin_array();
  for (const JitedFunction& function : view.functions) {
    if (view.listed) {
      json.begin_object();
      if (!function.prototype.empty()) json.field("proto", std::string_view(function.prototype));
      json.field("name", std::string_view(function.name));
      json.name("insns");
    }
    json.begin_array();
    for (const JitedInsn& insn : function.insns) {
      json.begin_object();
      if (insn.source) source_json(json, *insn.source, options.linum);
      json.field("pc", std::string_view(fmt::format("0x{:x}", insn.offset)));
      json.field("operation", std::string_view(insn.operation));
      json.name("operands");
      json.begin_array();
      const auto operands = words_of(insn.operands);
      if (operands.empty()) json.null();
      for (const std::string& operand : operands) json.string(operand);
      json.end_array();
      if (options.opcodes) {
        json.name("opcodes");
        hex_bytes_json(json, insn.bytes);
      }
      json.end_object();
    }
    json.end_array();
    if (view.listed) json.end_object();
  }
  if (view.listed) json.end_array();
}

}  // namespace skep::cli
