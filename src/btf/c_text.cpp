// C declarators are built from the inside out: what is known of the name so far is wrapped in what its type
// adds, until a type with a name of its own is reached.
#include "btf/c_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skep::btf {

namespace {

constexpr u32 kMaxNesting = 256;
constexpr u64 kMaxText = 256u << 20;

std::string tabs(u32 level) { return std::string(level, '\t'); }

const char* keyword(Kind kind) {
  switch (kind) {
    case Kind::const_:
      return "const";
    case Kind::volatile_:
      return "volatile";
    case Kind::restrict_:
      return "restrict";
    default:
      return "";
  }
}
bool is_qualifier(Kind kind) {
  return kind == Kind::const_ || kind == Kind::volatile_ || kind == Kind::restrict_;
}
/// What C writes around the name.
bool is_derived(Kind kind) { return kind == Kind::ptr || kind == Kind::array || kind == Kind::func_proto; }

}  // namespace

bool CText::too_much(std::size_t size, u32 depth) {
  produced_ += size + 1;
  if (depth > kMaxNesting || produced_ > kMaxText) overflow_ = true;
  return overflow_;
}

std::string CText::declare(u32 id, std::string_view name, u32 level) {
  return declare(id, std::string(name), level, 0);
}

std::string CText::declare(u32 id, std::string inner, u32 level, u32 depth) {
  if (too_much(inner.size(), depth)) return {};
  // Qualifiers apply to what follows them; the innermost is written first.
  std::string qualifiers, tags;
  u32 at = id;
  for (u32 steps = 0; steps < kMaxNesting; ++steps) {
    const Type& t = btf_.type(at);
    if (is_qualifier(t.kind))
      qualifiers = std::string(keyword(t.kind)) + " " + qualifiers;
    else if (t.kind == Kind::type_tag)
      tags = fmt::format(" __attribute__((btf_type_tag(\"{}\")))", btf_.string(t.name_off)) + tags;
    else
      break;
    at = t.type;
  }
  const Type& t = btf_.type(at);
  if (!is_derived(t.kind)) {
    std::string text = qualifiers + base(at, level, depth) + tags;
    bool apart = !inner.empty() && inner[0] != '[' && inner[0] != ' ' &&
                 !(inner[0] == '(' && !inner.starts_with("(*"));
    return text + (apart ? " " : "") + inner;
  }
  if (t.kind == Kind::ptr) {
    if (!qualifiers.empty()) {  // "* const name"
      qualifiers.pop_back();
      inner = " " + qualifiers + (inner.empty() || inner[0] == '[' || inner[0] == ' ' ? "" : " ") + inner;
    }
    if (!tags.empty()) inner = tags + (inner.empty() ? "" : " ") + inner;
    inner = "*" + inner;
    u32 to = t.type;
    for (u32 steps = 0; steps < kMaxNesting && is_qualifier(btf_.type(to).kind); ++steps)
      to = btf_.type(to).type;
    Kind pointee = btf_.type(to).kind;
    if (pointee == Kind::array || pointee == Kind::func_proto)
      return declare(to, "(" + inner + ")", level, depth + 1);
    return declare(t.type, std::move(inner), level, depth + 1);
  }
  // Qualifiers of arrays and functions are compilers' artefacts.
  if (t.kind == Kind::array) return declare(t.type, inner + fmt::format("[{}]", t.nelems), level, depth + 1);
  // A space stands before "(*name)", also where the return type ends in "*".
  if (inner.starts_with('(')) inner = " " + inner;
  return declare(t.type, inner + parameters(t, level, depth + 1), level, depth + 1);
}

std::string CText::parameters(const Type& proto, u32 level, u32 depth) {
  std::span<const Entry> args = btf_.entries(proto);
  if (args.empty() || (args.size() == 1 && args[0].type == 0)) return "(void)";
  std::string text = "(";
  for (std::size_t i = 0; i < args.size() && !overflow_; ++i) {
    if (i > 0) text += ", ";
    if (i + 1 == args.size() && args[i].type == 0)
      text += "...";
    else
      text += declare(args[i].type, std::string(btf_.string(args[i].name_off)), level, depth + 1);
  }
  return text + ")";
}

std::string CText::tagged(u32 id) {
  const Type& t = btf_.type(id);
  const char* word = is_any_enum(t.kind)                                              ? "enum"
                     : t.kind == Kind::union_ || (t.kind == Kind::fwd && t.kind_flag) ? "union"
                                                                                      : "struct";
  return fmt::format("{}{}{}", word, t.name_off != 0 ? " " : "", names_.tag(id));
}

std::string CText::base(u32 id, u32 level, u32 depth) {
  const Type& t = btf_.type(id);
  switch (t.kind) {
    case Kind::void_:
      return "void";
    case Kind::int_:
    case Kind::float_:
      return std::string(btf_.string(t.name_off));
    case Kind::typedef_:
      return names_.identifier(id);
    case Kind::struct_:
    case Kind::union_:
      return t.name_off == 0 ? struct_body(id, level, depth + 1) : tagged(id);
    case Kind::enum_:
    case Kind::enum64:
      return t.name_off == 0 ? enum_definition(id, level) : tagged(id);
    default:
      return tagged(id);
  }
}

std::string CText::struct_definition(u32 id, u32 level) { return struct_body(id, level, 0); }

std::string CText::struct_body(u32 id, u32 level, u32 depth) {
  if (too_much(0, depth)) return {};
  const Type& t = btf_.type(id);
  bool is_struct = t.kind == Kind::struct_;
  bool packed = is_struct && layout_.is_packed(id);
  std::string text = tagged(id) + " {", indent = tabs(level + 1);
  u64 at = 0;
  bool after_bitfield = false;
  for (const Entry& m : btf_.entries(t)) {
    if (overflow_) return {};
    u32 align = packed ? 1 : layout_.align_of(m.type);
    text += CLayout::padding(at, m.bit_offset, align, after_bitfield && m.bitfield_size != 0, indent);
    text += "\n" + indent + declare(m.type, std::string(btf_.string(m.name_off)), level + 1, depth + 1);
    after_bitfield = m.bitfield_size != 0;
    if (after_bitfield) text += fmt::format(": {}", m.bitfield_size);
    text += ";";
    at = u64{m.bit_offset} + (after_bitfield ? u64{m.bitfield_size} : btf_.size_of(m.type).value_or(0) * 8);
  }
  if (is_struct) text += CLayout::padding(at, u64{t.size} * 8, layout_.align_of(id), false, indent);
  if (t.entry_count != 0 || t.size != 0) text += "\n" + tabs(level);
  text += "}";
  if (packed) text += " __attribute__((packed))";
  too_much(text.size(), depth);
  return text;
}

std::string CText::enum_definition(u32 id, u32 level) {
  const Type& t = btf_.type(id);
  std::string text = tagged(id);
  std::span<const Entry> values = btf_.entries(t);
  if (values.empty()) return text;
  text += " {";
  bool wide = t.kind == Kind::enum64;
  for (const Entry& v : values) {
    std::string number = t.kind_flag ? fmt::to_string(v.value) : fmt::to_string(static_cast<u64>(v.value));
    if (wide) number += t.kind_flag ? "LL" : "ULL";
    text += fmt::format("\n{}{} = {},", tabs(level + 1), names_.enumerator(btf_.string(v.name_off)), number);
  }
  text += "\n" + tabs(level) + "}";
  // Sizes that a compiler would not choose by itself.
  bool fits = std::none_of(values.begin(), values.end(),
                           [](const Entry& v) { return (static_cast<u64>(v.value) >> 32) != 0; });
  if (t.size == 1) text += " __attribute__((mode(byte)))";
  if (t.size == 8 && (!wide || fits)) text += " __attribute__((mode(word)))";
  too_much(text.size(), 0);
  return text;
}

std::string CText::typedef_definition(u32 id) {
  const Type& t = btf_.type(id);
  const std::string& name = names_.identifier(id);
  // What old compilers say of __gnuc_va_list, a typedef of void, is not C.
  if (t.type == 0 && name == "__gnuc_va_list") return "typedef __builtin_va_list __gnuc_va_list";
  return "typedef " + declare(t.type, name, 0);
}

}  // namespace skep::btf
