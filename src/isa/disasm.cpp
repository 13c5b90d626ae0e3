// The disassembler: the text of an instruction's table line, filled in. Where no form matches (a reserved
// field is set, an operation is unknown) it falls back to what the kernel's printer shows, which looks at
// few fields.
#include "isa/disasm.hpp"

#include <fmt/format.h>

#include <iterator>

#include "isa/form.hpp"

namespace skep::isa {
namespace {

constexpr std::string_view class_names[8] = {"ld", "ldx", "st", "stx", "alu", "jmp", "jmp32", "alu64"};

/// The form whose text stands for an instruction that matches none exactly: the one of its opcode that fixes
/// neither off nor imm to a value, or any for byte swaps, whose text shows whatever width stands in imm.
Form closest(const Insn& insn) {
  const bool is_end =
      (class_of(insn.code) == op::ALU || class_of(insn.code) == op::ALU64) && op_of(insn.code) == op::END;
  for (u32 i = 0; i < form_count; ++i) {
    const FormInfo& f = forms[i];
    if (f.code != insn.code) continue;
    if (f.family == Family::atomic || f.family == Family::load_acquire || f.family == Family::store_release) {
      if (f.imm.takes(insn.imm)) return static_cast<Form>(i);
      continue;
    }
    if (f.family == Family::may_goto && insn.src != 0) continue;
    if (is_end || (f.off.any || f.off.value == 0)) return static_cast<Form>(i);
  }
  return Form::invalid;
}

/// Of a register form a set imm, of an immediate form a set src does not change the text.
Form printed_form(const Insn& insn) {
  if (const Form exact = decode(insn); exact != Form::invalid) return exact;
  Insn relaxed = insn;
  const u8 cls = class_of(insn.code);
  if (cls == op::ALU || cls == op::ALU64) {
    if (is_reg_source(insn.code))
      relaxed.imm = 0;
    else
      relaxed.src = 0;
    if (const Form form = decode(relaxed); form != Form::invalid) return form;
  }
  return closest(insn);
}

/// The one sign-extension that the printer knows and the instruction set does not.
bool is_movsx32_of_32(const Insn& insn) { return insn.code == (op::ALU | op::MOV | op::X) && insn.off == 32; }

void append_call(std::string& out, const Insn& insn, const Symbols& symbols) {
  if (symbols.call != nullptr) {
    const std::string text = symbols.call(symbols.self, insn);
    if (!text.empty()) {
      out += text;
      return;
    }
  }
  if (insn.src == 1)
    fmt::format_to(std::back_inserter(out), "pc{:+d}", insn.imm);
  else
    fmt::format_to(std::back_inserter(out), "{}#{}", insn.src == 2 ? "kernel-function" : "unknown", insn.imm);
}

void append_imm64(std::string& out, std::span<const Insn> at, const Symbols& symbols) {
  const u64 value = imm64(at[0], at.size() > 1 ? at[1] : Insn{});
  if (symbols.imm64 != nullptr) {
    const std::string text = symbols.imm64(symbols.self, at[0], value);
    if (!text.empty()) {
      out += text;
      return;
    }
  }
  fmt::format_to(std::back_inserter(out), "0x{:x}", value);
}

void append_field(std::string& out, char field, std::span<const Insn> at, const Symbols& symbols) {
  const Insn& insn = at[0];
  const auto to = std::back_inserter(out);
  switch (field) {
    case 'd':
      fmt::format_to(to, "{}", +insn.dst);
      break;
    case 's':
      fmt::format_to(to, "{}", +insn.src);
      break;
    case 'i':
      fmt::format_to(to, "{}", insn.imm);
      break;
    case 'x':
      fmt::format_to(to, "0x{:x}", static_cast<u32>(insn.imm));
      break;
    case 'o':
      fmt::format_to(to, "{:+d}", insn.off);
      break;
    case 'j':
      fmt::format_to(to, "pc{:+d}", insn.off);
      break;
    case 'J':
      fmt::format_to(to, "pc{:+d}", insn.imm);
      break;
    case 'h':
      fmt::format_to(to, "{}", static_cast<u32>(insn.imm) >> 16);
      break;
    case 'l':
      fmt::format_to(to, "{}", static_cast<u32>(insn.imm) & 0xffff);
      break;
    case 'L':
      append_imm64(out, at, symbols);
      break;
    case 'C':
      append_call(out, insn, symbols);
      break;
    default:
      SKEP_ASSERT(false && "placeholder of ops.def");
  }
}

/// What the kernel prints for opcodes that are none: only seen where a log shows an unverified program.
void append_unknown(std::string& out, const Insn& insn) {
  const auto to = std::back_inserter(out);
  const u8 cls = class_of(insn.code);
  switch (cls) {
    case op::LD:
      fmt::format_to(to, "BUG_ld_{:02x}", insn.code);
      break;
    case op::LDX:
      fmt::format_to(to, "BUG_ldx_{:02x}", insn.code);
      break;
    case op::ST:
      fmt::format_to(to, "BUG_st_{:02x}", insn.code);
      break;
    case op::STX:
      fmt::format_to(to, "BUG_{:02x}", insn.code);
      break;
    case op::JMP:
    case op::JMP32: {
      const char kind = cls == op::JMP32 ? 'w' : 'r';
      if (is_reg_source(insn.code))
        fmt::format_to(to, "({:02x}) if {}{} (null) {}{} goto pc{:+d}", insn.code, kind, +insn.dst, kind,
                       +insn.src, insn.off);
      else
        fmt::format_to(to, "({:02x}) if {}{} (null) 0x{:x} goto pc{:+d}", insn.code, kind, +insn.dst,
                       static_cast<u32>(insn.imm), insn.off);
      break;
    }
    default:
      fmt::format_to(to, "({:02x}) {}", insn.code, class_names[cls]);
  }
}

/// The instruction set has atomic operations on words and double words only; the printer takes the size from
/// the opcode for others too. The word form's text, or "".
std::string_view narrow_atomic_text(const Insn& insn) {
  constexpr u8 size_bits = 0x18;
  const u8 size = insn.code & size_bits;
  if ((insn.code & ~size_bits) != (op::STX | op::ATOMIC) || (size != op::H && size != op::B)) return {};
  Insn word = insn;
  word.code = op::STX | op::ATOMIC | op::W;
  const Form form = closest(word);
  return form != Form::invalid && info(form).family == Family::atomic ? info(form).text : std::string_view{};
}

}  // namespace

void disassemble(std::string& out, std::span<const Insn> at, const Symbols& symbols) {
  SKEP_ASSERT(!at.empty());
  if (is_movsx32_of_32(at[0])) {
    fmt::format_to(std::back_inserter(out), "(bc) w{} = (s32)w{}", +at[0].dst, +at[0].src);
    return;
  }
  const Form form = printed_form(at[0]);
  std::string narrow;
  if (form == Form::invalid) {
    narrow = narrow_atomic_text(at[0]);
    if (narrow.empty()) return append_unknown(out, at[0]);
    narrow.replace(narrow.find("u32"), 3, (at[0].code & op::H) == op::H ? "u16" : "u8");
  }
  fmt::format_to(std::back_inserter(out), "({:02x}) ", at[0].code);
  const std::string_view text = form == Form::invalid ? std::string_view(narrow) : info(form).text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{') {
      out += text[i];
      continue;
    }
    append_field(out, text[i + 1], at, symbols);
    i += 2;
  }
}

std::string disassemble(std::span<const Insn> at, const Symbols& symbols) {
  std::string out;
  disassemble(out, at, symbols);
  return out;
}

}  // namespace skep::isa
