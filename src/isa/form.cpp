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

/// Which list of Decoded an instruction belongs to.
enum class Kind : u8 { plain, jump, symbol, wide };
constexpr Kind kind_of(Form form) {
  if (has_target(form)) return Kind::jump;
  switch (info(form).family) {
    case Family::ld_imm64:
      return Kind::wide;
    case Family::ld_abs:
    case Family::ld_ind:
    case Family::addr_space_cast:
    case Family::mov_percpu:
    case Family::probe:
    case Family::call:
    case Family::tail_call:
      return Kind::symbol;
    default:
      return Kind::plain;
  }
}
constexpr std::array<Kind, form_count + 1> make_kinds() {
  std::array<Kind, form_count + 1> kinds{};
  for (u32 i = 0; i < form_count; ++i) kinds[i] = kind_of(static_cast<Form>(i));
  return kinds;
}
constexpr auto kinds = make_kinds();

/// The first form of each opcode by itself: nearly every instruction is of it.
struct First {
  Pattern pattern{0, 1};  ///< matches nothing
  Form form = Form::invalid;
  Kind kind = Kind::plain;
};
constexpr std::array<First, 256> make_firsts() {
  std::array<First, 256> firsts{};
  for (u32 code = 0; code < 256; ++code)
    if (const u8 first = chains.first[code]; first != none)
      firsts[code] = {patterns[first], static_cast<Form>(first), kinds[first]};
  return firsts;
}
constexpr auto firsts = make_firsts();

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

namespace {

class ProgramDecoder {
 public:
  ProgramDecoder(std::span<const Insn> insns, u32 registers) : insns_(insns), registers_(registers) {}

  Result<Decoded> run() {
    if (insns_.empty()) return fail(EINVAL, "the program has no instructions");
    out_.forms.resize(insns_.size());
    out_.jumps.reserve(insns_.size() / 4);
    Form* const forms_out = out_.forms.data();
    const u32 count = static_cast<u32>(insns_.size());
    const Insn* const insns = insns_.data();
    const u64 too_high = 16 - registers_;
    for (u32 i = 0; i < count; ++i) {
      const Insn& insn = insns[i];
      const u64 number = number_of(insn);
      const First& first = firsts[number & 0xff];
      Form form = first.form;
      Kind kind = first.kind;
      if ((number & first.pattern.mask) != first.pattern.value) [[unlikely]] {
        form = decode(insn);
        kind = kinds[index_of(form)];
      }
      // Each half of the byte, and what makes it 16 if it is no register.
      const u64 low = (number >> 8 & 0xf) + too_high, high = (number >> 12 & 0xf) + too_high;
      if (form == Form::invalid || ((low | high) & 0x10) != 0) return std::unexpected(refused(i, form));
      forms_out[i] = form;
      if (kind == Kind::plain) continue;
      (kind == Kind::jump ? out_.jumps : out_.symbols).push_back(i);
      if (kind == Kind::wide) TRY(second_slot(++i));
    }
    TRY(targets());
    const Form last = out_.forms.back();
    if (last != Form::EXIT && last != Form::JA && last != Form::GOTOL)
      return std::unexpected(at(insns_.size() - 1, "the last instruction is neither exit nor a jump"));
    return std::move(out_);
  }

 private:
  [[nodiscard]] Error refused(u32 i, Form form) const {
    const Insn& insn = insns_[i];
    if (form == Form::invalid)
      return at(i, known_opcode(insn.code)
                       ? fmt::format("opcode 0x{:02x} with a reserved field set", insn.code)
                       : fmt::format("unknown opcode 0x{:02x}", insn.code));
    return at(i, fmt::format("register r{} does not exist", insn.dst >= registers_ ? +insn.dst : +insn.src));
  }
  Result<void> second_slot(u32 i) {
    if (i == insns_.size())
      return std::unexpected(at(i - 1, "the second half of a 64-bit immediate is missing"));
    const Insn& second = insns_[i];
    if (second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0)
      return std::unexpected(at(i, "the second half of a 64-bit immediate has fields set besides imm"));
    out_.forms[i] = Form::invalid;
    return {};
  }
  Result<void> targets() {
    for (const u32 i : out_.jumps) {
      const s64 target = static_cast<s64>(i) + 1 + displacement(out_.forms[i], insns_[i]);
      if (target < 0 || target >= static_cast<s64>(insns_.size()))
        return std::unexpected(at(i, "jump out of the program"));
      if (out_.forms[static_cast<std::size_t>(target)] == Form::invalid)
        return std::unexpected(at(i, "jump into the middle of a 64-bit immediate"));
    }
    return {};
  }

  std::span<const Insn> insns_;
  u32 registers_;
  Decoded out_;
};

}  // namespace

Result<Decoded> decode_program(std::span<const Insn> insns, u32 registers) {
  return ProgramDecoder(insns, registers).run();
}

}  // namespace skep::isa
