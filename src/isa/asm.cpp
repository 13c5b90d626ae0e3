// The assembler. Statements are compared with the text of each table line, white space counting only
// between words; what the table's text cannot say (labels, symbols, ld_imm64's source kinds) is in the short
// list of spellings of StatementReader::special().
#include "isa/asm.hpp"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <optional>
#include <string>

#include "isa/asm_text.hpp"
#include "isa/form.hpp"

namespace skep::isa {
namespace {

/// Matches one statement against one form's text.
class FormMatcher {
 public:
  FormMatcher(Form form, std::string_view statement, bool opcode_given, std::span<const AsmName> names)
      : info_(info(form)), cursor_(statement), opcode_given_(opcode_given), names_(names) {
    parsed_.insn = encode(form);
  }
  std::optional<Parsed> match() {
    const std::string_view text = info_.text;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == ' ') {
        cursor_.word(" ");
        continue;
      }
      if (text[i] == '{') {
        if (!field(text[i + 1])) return std::nullopt;
        i += 2;
      } else if (!cursor_.word(text.substr(i, 1))) {
        return std::nullopt;
      }
    }
    if (!cursor_.at_end() || !matches(info_, parsed_.insn)) return std::nullopt;
    return parsed_;
  }

 private:
  bool field(char kind) {
    switch (kind) {
      case 'd':
        return reg(true);
      case 's':
        return reg(false);
      case 'i':
      case 'x':
        return imm();
      case 'o':
        return offset();
      case 'j':
      case 'J':
        return jump(kind == 'J');
      case 'h':
      case 'l':
        return half(kind == 'h');
      case 'L':
        return wide();
      default:
        return call();
    }
  }
  /// A register; a second mention of the same one must agree.
  bool reg(bool is_dst) {
    const std::string_view before = cursor_.rest();
    const auto value = before.starts_with('-') || before.starts_with('+') ? std::nullopt : cursor_.number();
    if (!value || *value > 15) return false;
    bool& seen = is_dst ? dst_seen_ : src_seen_;
    const u8 given = static_cast<u8>(*value & 0xf);
    const u8 present = is_dst ? parsed_.insn.dst : parsed_.insn.src;
    if (seen && present != given) return false;
    seen = true;
    if (is_dst)
      parsed_.insn.dst = given & 0xf;
    else
      parsed_.insn.src = given & 0xf;
    return true;
  }
  bool imm() {
    const auto value = cursor_.number();
    const auto fitting = value ? fit32(*value) : std::nullopt;
    if (fitting) parsed_.insn.imm = *fitting;
    return fitting.has_value();
  }
  bool offset() {
    const auto value = cursor_.number();
    const auto fitting = value ? fit16(*value) : std::nullopt;
    if (fitting) parsed_.insn.off = *fitting;
    return fitting.has_value();
  }
  bool half(bool high) {
    const auto value = cursor_.number();
    if (!value || *value < 0 || *value > 0xffff) return false;
    parsed_.insn.imm |= static_cast<s32>(static_cast<u32>(*value) << (high ? 16 : 0));
    return true;
  }
  bool jump(bool wide) {
    Cursor numeric = cursor_;
    const bool relative = numeric.word("pc") && !numeric.rest().empty() &&
                          (numeric.rest()[0] == '+' || numeric.rest()[0] == '-');
    if (!relative) numeric = cursor_;
    if (const auto value = numeric.number(); value && numeric.at_end()) {
      cursor_ = numeric;
      const auto narrow = fit16(*value);
      const auto broad = fit32(*value);
      if (wide ? !broad : !narrow) return false;
      if (wide)
        parsed_.insn.imm = *broad;
      else
        parsed_.insn.off = *narrow;
      return true;
    }
    parsed_.target = cursor_.name();
    return !parsed_.target.empty();
  }
  bool wide() {
    if (info_.code != info(Form::LD_IMM64_IMM).code || info_.src.value != 0) return false;
    const auto value = cursor_.number();
    cursor_.word(" ");
    const bool marked = cursor_.word("ll");
    if (!value || !(marked || opcode_given_)) return false;
    parsed_.insn.imm = static_cast<s32>(*value);
    parsed_.second = static_cast<s32>(*value >> 32);
    return true;
  }
  /// "6", "pc+1", "name#6", "name": the number after # counts, else the name must be known.
  bool call() {
    Cursor look = cursor_;
    const bool local =
        look.word("pc") && !look.rest().empty() && (look.rest()[0] == '+' || look.rest()[0] == '-');
    if (local) {
      if (info_.src.value != 1) return false;
      cursor_ = look;
      return imm();
    }
    if (info_.src.value != 0) return false;
    if (Cursor plain = cursor_; true) {
      const auto value = plain.number();
      if (value && plain.at_end()) return imm();
    }
    const std::string_view name = cursor_.name();
    if (cursor_.word("#")) return imm();
    for (const AsmName& known : names_)
      if (known.name == name) {
        parsed_.insn.imm = known.value;
        return true;
      }
    return false;
  }

  const FormInfo& info_;
  Cursor cursor_;
  bool opcode_given_;
  std::span<const AsmName> names_;
  Parsed parsed_;
  bool dst_seen_ = false, src_seen_ = false;
};

/// Statements that no table text spells: pseudo sources of ld_imm64, calls, and short test spellings.
class SpecialReader {
 public:
  SpecialReader(std::string_view spaced, std::span<const AsmName> names) : names_(names) {
    std::string word;
    for (const char c : spaced) {
      if (std::isspace(static_cast<unsigned char>(c)) == 0) {
        word += c;
      } else if (!word.empty()) {
        words_.push_back(std::move(word));
        word.clear();
      }
    }
    if (!word.empty()) words_.push_back(std::move(word));
  }
  std::optional<Parsed> read() {
    if (words_.empty()) return std::nullopt;
    const std::string& first = words_[0];
    if (first == "raw") return raw();
    if (first == "callf" && words_.size() == 2) return target(encode(Form::CALL_LOCAL), words_[1]);
    if (first == "kfunc") return kfunc();
    if (first == "atomic") return atomic();
    if (first == "ldabs" || first == "ldind") return legacy_load();
    if (words_.size() >= 4 && words_[1] == "=") return assignment();
    return std::nullopt;
  }

 private:
  static std::optional<s64> number(std::string_view text) {
    Cursor cursor(text);
    const auto value = cursor.number();
    return value && cursor.at_end() ? value : std::nullopt;
  }
  static std::optional<u8> reg(std::string_view text) {
    if (!text.starts_with('r') && !text.starts_with('w')) return std::nullopt;
    const auto value = number(text.substr(1));
    if (!value || *value < 0 || *value > 15) return std::nullopt;
    return static_cast<u8>(*value);
  }
  static std::optional<u8> size(std::string_view text) {
    if (text == "u8") return op::B;
    if (text == "u16") return op::H;
    if (text == "u32") return op::W;
    if (text == "u64") return op::DW;
    return std::nullopt;
  }
  std::optional<s64> value_of(std::string_view text) const {
    for (const AsmName& known : names_)
      if (known.name == text) return known.value;
    return number(text);
  }
  static std::optional<Parsed> target(Insn insn, std::string_view where) {
    Parsed parsed{.insn = insn, .second = std::nullopt, .target = {}};
    if (const auto value = number(where))
      parsed.insn.imm = static_cast<s32>(*value);
    else
      parsed.target = where;
    return parsed;
  }
  std::optional<Parsed> raw() const {
    std::string hex;
    for (std::size_t i = 1; i < words_.size(); ++i) hex += words_[i];
    if (hex.size() != 16) return std::nullopt;
    std::array<std::byte, 8> bytes{};
    for (std::size_t i = 0; i < 8; ++i) {
      const auto value = number("0x" + hex.substr(2 * i, 2));
      if (!value) return std::nullopt;
      bytes[i] = static_cast<std::byte>(*value);
    }
    Parsed parsed{.insn = std::bit_cast<Insn>(bytes), .second = std::nullopt, .target = {}};
    return parsed;
  }
  std::optional<Parsed> kfunc() const {
    if (words_.size() != 2 && !(words_.size() == 4 && words_[2] == "fd")) return std::nullopt;
    const auto id = value_of(words_[1]);
    const auto fd = words_.size() == 4 ? number(words_[3]) : std::optional<s64>(0);
    if (!id || !fd || !fit32(*id) || !fit16(*fd)) return std::nullopt;
    return Parsed{encode(Form::CALL_KFUNC, 0, 0, *fit16(*fd), *fit32(*id)), std::nullopt, {}};
  }
  /// "(r1", "+0)" or "(r1+0)" from word `at` on, then possibly a register.
  bool address(std::size_t at, u8& base, s16& off, std::string& rest) const {
    std::string joined;
    for (std::size_t i = at; i < words_.size(); ++i) joined += words_[i];
    Cursor cursor(joined);
    if (!cursor.word("(") || !cursor.word("r")) return false;
    const auto r = cursor.number();
    const auto o = cursor.rest().starts_with(')') ? std::optional<s64>(0) : cursor.number();
    if (!r || *r < 0 || *r > 15 || !o || !fit16(*o) || !cursor.word(")")) return false;
    base = static_cast<u8>(*r);
    off = *fit16(*o);
    rest = cursor.rest();
    return true;
  }
  std::optional<Parsed> atomic() const {
    if (words_.size() < 5) return std::nullopt;
    constexpr std::pair<std::string_view, s32> operations[] = {{"add", op::ADD},
                                                               {"or", op::OR},
                                                               {"and", op::AND},
                                                               {"xor", op::XOR},
                                                               {"fadd", op::ADD | op::FETCH},
                                                               {"for", op::OR | op::FETCH},
                                                               {"fand", op::AND | op::FETCH},
                                                               {"fxor", op::XOR | op::FETCH},
                                                               {"xchg", op::XCHG},
                                                               {"cmpxchg", op::CMPXCHG},
                                                               {"store_rel", op::STORE_REL}};
    for (const auto& [name, imm] : operations) {
      if (words_[1] != name) continue;
      Insn insn;
      u8 base = 0;
      s16 off = 0;
      std::string rest;
      const auto width = size(words_[2]);
      if (!width || !address(3, base, off, rest)) return std::nullopt;
      const auto source = reg(rest);
      if (!source) return std::nullopt;
      insn.code = static_cast<u8>(op::STX | op::ATOMIC | *width);
      insn.dst = base & 0xf;
      insn.src = *source & 0xf;
      insn.off = off;
      insn.imm = imm;
      return Parsed{insn, std::nullopt, {}};
    }
    return std::nullopt;
  }
  std::optional<Parsed> legacy_load() const {
    const bool indirect = words_[0] == "ldind";
    if (words_.size() != (indirect ? 4U : 3U)) return std::nullopt;
    const auto width = size(words_[1]);
    const auto index = indirect ? reg(words_[2]) : std::optional<u8>(0);
    const auto at = number(words_.back());
    if (!width || !index || !at || !fit32(*at)) return std::nullopt;
    Insn insn;
    insn.code = static_cast<u8>(op::LD | (indirect ? op::IND : op::ABS) | *width);
    insn.src = *index & 0xf;
    insn.imm = *fit32(*at);
    return Parsed{insn, std::nullopt, {}};
  }
  std::optional<Parsed> assignment() const {
    const auto dst = reg(words_[0]);
    if (!dst) return std::nullopt;
    const std::string& kind = words_[2];
    if (kind == "load_acq") {
      u8 base = 0;
      s16 off = 0;
      std::string rest;
      const auto width = size(words_[3]);
      if (!width || !address(4, base, off, rest) || !rest.empty()) return std::nullopt;
      Insn insn;
      insn.code = static_cast<u8>(op::STX | op::ATOMIC | *width);
      insn.dst = *dst & 0xf;
      insn.src = base & 0xf;
      insn.off = off;
      insn.imm = op::LOAD_ACQ;
      return Parsed{insn, std::nullopt, {}};
    }
    if (kind == "func") {
      auto parsed = target(encode(Form::LD_IMM64_FUNC, *dst), words_[3]);
      parsed->second = 0;
      return parsed;
    }
    constexpr std::pair<std::string_view, Form> kinds[] = {{"map", Form::LD_IMM64_MAP_FD},
                                                           {"mapval", Form::LD_IMM64_MAP_VALUE},
                                                           {"btf", Form::LD_IMM64_BTF_ID},
                                                           {"map_idx", Form::LD_IMM64_MAP_IDX},
                                                           {"mapval_idx", Form::LD_IMM64_MAP_IDX_VALUE}};
    for (const auto& [name, form] : kinds) {
      if (kind != name) continue;
      std::string sum;
      for (std::size_t i = 4; i < words_.size(); ++i) sum += words_[i];
      const auto value = value_of(words_[3]);
      const auto plus = sum.empty() ? std::optional<s64>(0) : number(sum);
      if (!value || !fit32(*value) || !plus || !fit32(*plus)) return std::nullopt;
      return Parsed{encode(form, *dst, 0, 0, *fit32(*value)), *fit32(*plus), {}};
    }
    return std::nullopt;
  }

  std::span<const AsmName> names_;
  std::vector<std::string> words_;
};

struct Label {
  std::string name;
  s64 at;
};
struct Pending {
  std::size_t at;
  u32 line;
  std::string label;
};

class Assembler {
 public:
  explicit Assembler(std::span<const AsmName> names) : names_(names) {}
  Result<std::vector<Insn>> run(std::string_view text) {
    u32 line = 1;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (i < text.size() && text[i] == '/' && text.substr(i).starts_with("//")) {
        TRY(statement(text.substr(start, i - start), line));
        while (i < text.size() && text[i] != '\n') ++i;
        start = i;
      }
      if (i < text.size() && text[i] != '\n' && text[i] != ';') continue;
      TRY(statement(text.substr(start, i - start), line));
      start = i + 1;
      if (i < text.size() && text[i] == '\n') ++line;
    }
    TRY(resolve());
    return std::move(insns_);
  }

 private:
  static std::string_view trimmed(std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
      text.remove_prefix(1);
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
    return text;
  }
  Result<void> statement(std::string_view raw, u32 line) {
    std::string_view text = trimmed(raw);
    if (text.empty()) return {};
    const std::size_t colon = text.find(':');
    if (colon != std::string_view::npos && colon > 0 && text.find_first_of(" \t(") > colon) {
      const std::string_view before = text.substr(0, colon);
      if (before.find_first_not_of("0123456789") != std::string_view::npos)
        labels_.push_back({std::string(before), static_cast<s64>(insns_.size())});
      text = trimmed(text.substr(colon + 1));
      if (text.empty()) return {};
    }
    std::optional<u8> opcode;
    if (text.size() > 4 && text[0] == '(' && text[3] == ')') {
      const std::string digits = std::string("0x").append(text.substr(1, 2));
      const auto value = Cursor(digits).number();
      if (!value) return error(line, raw);
      opcode = static_cast<u8>(*value);
      text = trimmed(text.substr(4));
    }
    auto parsed = SpecialReader(text, names_).read();
    if (!parsed) parsed = by_table(packed(text), opcode);
    if (!parsed) return error(line, raw);
    if (!parsed->target.empty()) pending_.push_back({insns_.size(), line, parsed->target});
    insns_.push_back(parsed->insn);
    if (parsed->second) insns_.push_back(Insn{.imm = *parsed->second});
    return {};
  }
  std::optional<Parsed> by_table(std::string_view statement, std::optional<u8> opcode) const {
    for (u32 i = 0; i < form_count; ++i) {
      if (opcode && forms[i].code != *opcode) continue;
      if (auto parsed = FormMatcher(static_cast<Form>(i), statement, opcode.has_value(), names_).match())
        return parsed;
    }
    return std::nullopt;
  }
  static Result<void> error(u32 line, std::string_view text) {
    return fail(EINVAL, fmt::format("line {}: no instruction reads '{}'", line, trimmed(text)));
  }
  Result<void> resolve() {
    for (const Pending& use : pending_) {
      const Label* found = nullptr;
      for (const Label& label : labels_)
        if (label.name == use.label) found = &label;
      if (found == nullptr) return fail(EINVAL, fmt::format("line {}: no label '{}'", use.line, use.label));
      const s64 distance = found->at - static_cast<s64>(use.at) - 1;
      Insn& insn = insns_[use.at];
      const Form form = decode(insn);
      if (form == Form::GOTOL || form == Form::CALL_LOCAL || form == Form::LD_IMM64_FUNC) {
        insn.imm = static_cast<s32>(distance);
      } else if (const auto narrow = fit16(distance)) {
        insn.off = *narrow;
      } else {
        return fail(EINVAL, fmt::format("line {}: '{}' is too far for a 16-bit jump; use gotol", use.line,
                                        use.label));
      }
    }
    return {};
  }

  std::span<const AsmName> names_;
  std::vector<Insn> insns_;
  std::vector<Label> labels_;
  std::vector<Pending> pending_;
};

}  // namespace

Result<std::vector<Insn>> assemble(std::string_view text, std::span<const AsmName> names) {
  return Assembler(names).run(text);
}

}  // namespace skep::isa
