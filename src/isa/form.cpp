// Decoding, and the proofs about the table that the compiler makes: no two forms can match one instruction,
// the text uses known placeholders only.
#include "isa/form.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace skep::isa {
namespace {

constexpr bool meet(const Operand& a, const Operand& b) { return a.any || b.any || a.value == b.value; }

constexpr bool no_two_forms_overlap() {
  for (u32 i = 0; i < form_count; ++i)
    for (u32 k = i + 1; k < form_count; ++k) {
      const FormInfo &a = forms[i], &b = forms[k];
      if (a.code == b.code && meet(a.dst, b.dst) && meet(a.src, b.src) && meet(a.off, b.off) &&
          meet(a.imm, b.imm))
        return false;
    }
  return true;
}
static_assert(form_count < 255);

constexpr bool texts_are_well_formed() {
  for (const FormInfo& f : forms) {
    for (std::size_t i = 0; i < f.text.size(); ++i) {
      if (f.text[i] != '{') continue;
      if (i + 2 >= f.text.size() || f.text[i + 2] != '}') return false;
      if (std::string_view("dsixojJhlLC").find(f.text[i + 1]) == std::string_view::npos) return false;
    }
  }
  return true;
}
static_assert(texts_are_well_formed());

/// For each opcode the chain of its forms: first form, and for each form the next of the same opcode.
struct Chains {
  std::array<u8, 256> first;
  std::array<u8, form_count> next;
};
constexpr u8 none = 255;
constexpr Chains make_chains() {
  Chains chains{};
  chains.first.fill(none);
  chains.next.fill(none);
  for (u32 i = form_count; i-- > 0;) {
    chains.next[i] = chains.first[forms[i].code];
    chains.first[forms[i].code] = static_cast<u8>(i);
  }
  return chains;
}
constexpr Chains chains = make_chains();

/// An instruction as one number, and what a form demands of it: `(number & mask) == value`. The bits of the
/// fields stand where memory has them.
struct Pattern {
  u64 mask = 0, value = 0;
};
constexpr u64 as_number(u32 code, u32 dst, u32 src, s16 off, s32 imm) {
  return u64{code} | u64{dst} << 8 | u64{src} << 12 | u64{static_cast<u16>(off)} << 16 |
         u64{static_cast<u32>(imm)} << 32;
}
constexpr std::array<Pattern, form_count> make_patterns() {
  std::array<Pattern, form_count> patterns{};
  for (u32 i = 0; i < form_count; ++i) {
    const FormInfo& f = forms[i];
    const auto demanded = [](const Operand& operand) { return operand.any ? 0 : -1; };
    const auto value = [](const Operand& operand) { return operand.any ? 0 : operand.value; };
    patterns[i] = {
        as_number(0xff, static_cast<u32>(demanded(f.dst)) & 0xfu, static_cast<u32>(demanded(f.src)) & 0xfu,
                  static_cast<s16>(demanded(f.off)), demanded(f.imm)),
        as_number(f.code, static_cast<u32>(value(f.dst)), static_cast<u32>(value(f.src)),
                  static_cast<s16>(value(f.off)), value(f.imm))};
  }
  return patterns;
}
constexpr auto patterns = make_patterns();

constexpr u8 ld_imm64_code = forms[index_of(Form::LD_IMM64_IMM)].code;

constexpr std::array<bool, form_count + 1> make_has_target() {
  std::array<bool, form_count + 1> flags{};
  for (u32 i = 0; i < form_count; ++i) flags[i] = has_target(static_cast<Form>(i));
  return flags;
}
constexpr auto form_has_target = make_has_target();

Error at(std::size_t index, std::string text) {
  return Error{EINVAL, fmt::format("instruction {}: {}", index, text)};
}

}  // namespace

// Opcodes are compared pairwise: a table of two hundred lines costs the compiler nothing noticeable.
static_assert(no_two_forms_overlap(), "two lines of ops.def match one instruction");

Form decode(const Insn& insn) {
  const u64 number = as_number(insn.code, insn.dst, insn.src, insn.off, insn.imm);
  for (u8 i = chains.first[insn.code]; i != none; i = chains.next[i])
    if ((number & patterns[i].mask) == patterns[i].value) return static_cast<Form>(i);
  return Form::invalid;
}

bool known_opcode(u8 code) {
  const u8 first = chains.first[code];
  return first != none && forms[first].family != Family::tail_call && forms[first].family != Family::probe;
}

Result<std::vector<Form>> decode_program(std::span<const Insn> insns, u32 registers) {
  std::vector<Form> result(insns.size(), Form::invalid);
  if (insns.empty()) return fail(EINVAL, "the program has no instructions");
  for (std::size_t i = 0; i < insns.size(); ++i) {
    const Insn& insn = insns[i];
    const Form form = decode(insn);
    if (form == Form::invalid)
      return std::unexpected(at(i, known_opcode(insn.code)
                                       ? fmt::format("opcode 0x{:02x} with a reserved field set", insn.code)
                                       : fmt::format("unknown opcode 0x{:02x}", insn.code)));
    if (insn.dst >= registers || insn.src >= registers)
      return std::unexpected(
          at(i, fmt::format("register r{} does not exist", insn.dst >= registers ? +insn.dst : +insn.src)));
    result[i] = form;
    if (insn.code != ld_imm64_code) continue;
    if (i + 1 == insns.size())
      return std::unexpected(at(i, "the second half of a 64-bit immediate is missing"));
    const Insn& second = insns[++i];
    if (second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0)
      return std::unexpected(at(i, "the second half of a 64-bit immediate has fields set besides imm"));
  }
  for (std::size_t i = 0; i < insns.size(); ++i) {
    if (!form_has_target[index_of(result[i])]) continue;
    const s64 target = static_cast<s64>(i) + 1 + displacement(result[i], insns[i]);
    if (target < 0 || target >= static_cast<s64>(insns.size()))
      return std::unexpected(at(i, "jump out of the program"));
    if (result[static_cast<std::size_t>(target)] == Form::invalid)
      return std::unexpected(at(i, "jump into the middle of a 64-bit immediate"));
  }
  const Form last = result.back();
  if (last != Form::EXIT && last != Form::JA && last != Form::GOTOL)
    return std::unexpected(at(insns.size() - 1, "the last instruction is neither exit nor a jump"));
  return result;
}

}  // namespace skep::isa
