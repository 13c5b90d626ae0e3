// Types as one line of text, the way `dump xlated` heads its functions. Not quite C: bpftool's own spelling.
#include <optional>

#include "btf/print.hpp"

namespace skep::btf {

namespace {

constexpr std::size_t kMaxText = 1023;  // bpftool prints nothing where its buffer is too small
constexpr u32 kMaxNesting = 64;

class Text {
 public:
  explicit Text(const Btf& btf) : btf_(btf) {}
  std::string take(u32 id) {
    return type(id, 0) && text_.size() <= kMaxText ? std::move(text_) : std::string();
  }

 private:
  bool add(std::string_view piece) {
    text_ += piece;
    return text_.size() <= kMaxText;
  }
  bool named(std::string_view prefix, const Type& t) {
    return add(prefix) && add(btf_.string(t.name_off)) && add(" ");
  }

  bool type(u32 id, u32 depth) {
    if (depth > kMaxNesting) return false;
    const Type& t = btf_.type(id);
    switch (t.kind) {
      case Kind::void_:
        return id == 0 && add("void ");
      case Kind::int_:
      case Kind::typedef_:
      case Kind::float_:
        return named("", t);
      case Kind::struct_:
        return named("struct ", t);
      case Kind::union_:
        return named("union ", t);
      case Kind::enum_:
      case Kind::enum64:
        return named("enum ", t);
      case Kind::fwd:
        return named(t.kind_flag ? "union " : "struct ", t);
      case Kind::array:
        return type(t.type, depth + 1) && add("[" + std::to_string(t.nelems) + "]");
      case Kind::ptr:
        return type(t.type, depth + 1) && add("* ");
      case Kind::volatile_:
        return add("volatile ") && type(t.type, depth + 1);
      case Kind::const_:
        return add("const ") && type(t.type, depth + 1);
      case Kind::restrict_:
        return add("restrict ") && type(t.type, depth + 1);
      case Kind::func_proto:
        return function(t, {}, depth);
      case Kind::func:
        return function(btf_.type(t.type), btf_.string(t.name_off), depth);
      case Kind::var:
        if (t.linkage == linkage_static && !add("static ")) return false;
        return type(t.type, depth + 1) && add(" ") && add(btf_.string(t.name_off));
      case Kind::datasec:
        return add("section (\"") && add(btf_.string(t.name_off)) && add("\") ");
      default:
        return false;
    }
  }

  bool function(const Type& proto, std::string_view name, u32 depth) {
    if (proto.kind != Kind::func_proto || !type(proto.type, depth + 1) || !add(name) || !add("("))
      return false;
    bool first = true;
    for (const Entry& arg : btf_.entries(proto)) {
      if (!first && !add(", ")) return false;
      first = false;
      if (arg.type == 0) {
        if (!add("...")) return false;
        continue;
      }
      if (!type(arg.type, depth + 1)) return false;
      if (arg.name_off != 0) {
        if (!add(btf_.string(arg.name_off))) return false;
      } else if (text_.ends_with(' ')) {
        text_.pop_back();
      }
    }
    return add(")");
  }

  const Btf& btf_;
  std::string text_;
};

}  // namespace

std::string type_text(const Btf& btf, u32 id) { return Text(btf).take(id); }

}  // namespace skep::btf
