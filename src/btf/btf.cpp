// Looking things up in a parsed Btf. Nothing here trusts chains of types to end: every loop is bounded.
#include "btf/btf.hpp"

#include "base/limits.hpp"

namespace skep::btf {

namespace {
constexpr Type kVoid{};
constexpr std::string_view kKindNames[kind_max + 1] = {
    "UNKNOWN", "INT",     "PTR",      "ARRAY",    "STRUCT",   "UNION", "ENUM",
    "FWD",     "TYPEDEF", "VOLATILE", "CONST",    "RESTRICT", "FUNC",  "FUNC_PROTO",
    "VAR",     "DATASEC", "FLOAT",    "DECL_TAG", "TYPE_TAG", "ENUM64"};
}  // namespace

bool is_modifier(Kind kind) {
  return kind == Kind::typedef_ || kind == Kind::volatile_ || kind == Kind::const_ ||
         kind == Kind::restrict_ || kind == Kind::type_tag;
}

std::string_view kind_name(Kind kind) {
  auto index = static_cast<u8>(kind);
  return index <= kind_max ? kKindNames[index] : kKindNames[0];
}

const Type& Btf::type(u32 id) const {
  if (id == 0) return kVoid;
  u32 first = first_id();
  if (id < first) return base_->type(id);
  return id - first < types_.size() ? types_[id - first] : kVoid;
}

std::span<const Entry> Btf::entries(const Type& type) const {
  if (type.entry_count == 0) return {};
  if (type.first_entry < first_entry_) return base_->entries(type);
  return std::span(entries_).subspan(type.first_entry - first_entry_, type.entry_count);
}

bool Btf::has_string(u32 offset) const {
  if (offset < first_string_) return base_->has_string(offset);
  return offset - first_string_ < strings_.size();
}

std::string_view Btf::string(u32 offset) const {
  if (offset < first_string_) return base_->string(offset);
  if (offset - first_string_ >= strings_.size()) return {};
  std::string_view rest = strings_.substr(offset - first_string_);
  return rest.substr(0, rest.find('\0'));
}

u32 Btf::skip_modifiers(u32 id) const {
  for (u32 depth = 0; depth <= limits::btf_max_depth; ++depth) {
    const Type& t = type(id);
    if (!is_modifier(t.kind)) return id;
    id = t.type;
  }
  return 0;
}

Result<u64> Btf::size_of(u32 id) const {
  u64 count = 1;
  u32 start = id;
  for (u32 depth = 0; depth <= limits::btf_max_depth; ++depth) {
    const Type& t = type(id);
    u64 one = 0;
    switch (t.kind) {
      case Kind::int_:
      case Kind::struct_:
      case Kind::union_:
      case Kind::enum_:
      case Kind::enum64:
      case Kind::float_:
      case Kind::datasec:
        one = t.size;
        break;
      case Kind::ptr:
        one = 8;
        break;
      case Kind::array:
        if (__builtin_mul_overflow(count, u64{t.nelems}, &count))
          return fail(E2BIG, "BTF type " + std::to_string(start) + ": array size overflows");
        id = t.type;
        continue;
      case Kind::typedef_:
      case Kind::volatile_:
      case Kind::const_:
      case Kind::restrict_:
      case Kind::type_tag:
      case Kind::var:
      case Kind::decl_tag:
        id = t.type;
        continue;
      default:
        return fail(EINVAL, "BTF type " + std::to_string(start) + " has no size: it is " +
                                std::string(kind_name(t.kind)) + " '" + std::string(name(id)) + "'");
    }
    if (__builtin_mul_overflow(one, count, &one))
      return fail(E2BIG, "BTF type " + std::to_string(start) + ": size overflows");
    return one;
  }
  return fail(E2BIG, "BTF type " + std::to_string(start) + ": chain of types too deep");
}

u32 Btf::find(Kind kind, std::string_view wanted) const {
  if (base_ != nullptr) {
    if (u32 id = base_->find(kind, wanted); id != 0) return id;
  }
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (types_[i].kind == kind && string(types_[i].name_off) == wanted)
      return first_id() + static_cast<u32>(i);
  }
  return 0;
}

}  // namespace skep::btf
