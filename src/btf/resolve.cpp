// The kernel's resolve rules. Chains are walked with an explicit stack of at most 32 entries
// (MAX_RESOLVE_DEPTH), each type once, so hostile BTF costs time in proportion to its size.
#include "btf/resolve.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace skep::btf {

namespace {

/// btf_type_is_resolve_source_only(): nothing may refer to these except what is made for it.
bool source_only(Kind kind) { return kind == Kind::var || kind == Kind::decl_tag || kind == Kind::datasec; }
/// btf_type_nosize_or_null()
bool no_size(Kind kind) {
  return kind == Kind::void_ || kind == Kind::fwd || kind == Kind::func || kind == Kind::func_proto;
}
bool contains_others(Kind kind) { return is_composite(kind) || kind == Kind::array; }

}  // namespace

bool Resolver::regular_int(const Type& t) const {
  return t.kind == Kind::int_ && t.int_offset == 0 && t.int_bits == t.size * 8 &&
         (t.size == 1 || t.size == 2 || t.size == 4 || t.size == 8 || t.size == 16);
}

/// The index-th type that `id` leads to in this kind of chain; `more` false when there is no such.
u32 Resolver::next(u32 id, Chain chain, u32 index, bool& more) const {
  const Type& t = btf_.type(id);
  more = index == 0;
  if (is_modifier(t.kind)) return t.type;
  if (chain == Chain::pointers) {
    more = more && t.kind == Kind::ptr;
    return t.type;
  }
  if (t.kind == Kind::array) {
    more = index < 2;
    return index == 0 ? t.index_type : t.type;
  }
  more = is_composite(t.kind) && index < t.entry_count;
  return more ? btf_.entries(t)[index].type : 0;
}

Result<void> Resolver::ends(u32 id, Chain chain) {
  std::vector<Mark>& marks = done_[static_cast<u8>(chain)];
  if (marks[id] == Mark::done) return {};
  struct Step {
    u32 id, index;
  };
  std::vector<Step> stack{{id, 0}};
  marks[id] = Mark::open;
  while (!stack.empty()) {
    Step& top = stack.back();
    bool more = false;
    u32 to = next(top.id, chain, top.index, more);
    if (!more) {
      marks[top.id] = Mark::done;
      stack.pop_back();
      continue;
    }
    ++top.index;
    Kind kind = btf_.type(to).kind;
    bool follow = is_modifier(kind) || (chain == Chain::pointers ? kind == Kind::ptr : contains_others(kind));
    if (!follow || marks[to] == Mark::done) continue;
    if (marks[to] == Mark::open) return fail(EEXIST, "Loop detected");
    if (stack.size() == limits::btf_max_depth)
      return fail(E2BIG, "Exceeded max resolving depth:" + std::to_string(limits::btf_max_depth));
    marks[to] = Mark::open;
    stack.push_back({to, 0});
  }
  return {};
}

const char* Resolver::reference(const Type& t) const {
  const Type& to = btf_.type(t.type);
  if (source_only(to.kind)) return "Invalid type_id";
  if (t.kind == Kind::var) return has_size(t.type) ? nullptr : "Invalid type_id";
  u32 end = btf_.skip_modifiers(t.type);
  Kind kind = btf_.type(end).kind;
  if (has_size(end) || kind == Kind::void_ || kind == Kind::fwd || kind == Kind::func_proto) return nullptr;
  return "Invalid type_id";
}

const char* Resolver::array(const Type& t) const {
  const Type& index = btf_.type(btf_.skip_modifiers(t.index_type));
  if (source_only(btf_.type(t.index_type).kind) || !regular_int(index)) return "Invalid index";
  const Type& elem = btf_.type(btf_.skip_modifiers(t.type));
  if (source_only(btf_.type(t.type).kind) || no_size(elem.kind)) return "Invalid elem";
  Result<u64> size = btf_.size_of(t.type);
  if (!size) return "Invalid elem";
  if (elem.kind == Kind::int_ && !regular_int(elem)) return "Invalid array of int";
  if (t.nelems != 0 && *size > UINT32_MAX / t.nelems) return "Array size overflows U32_MAX";
  return nullptr;
}

const char* Resolver::members(const Type& t) const {
  for (const Entry& m : btf_.entries(t)) {
    Kind direct = btf_.type(m.type).kind;
    if (no_size(direct) || source_only(direct)) return "Invalid member";
    if (!has_size(m.type)) return "Invalid member";
    if (const char* what = member(t, m)) return what;
  }
  return nullptr;
}

/// The check_member functions: the member's bits lie within the struct, bit-fields within their type.
const char* Resolver::member(const Type& owner, const Entry& m) const {
  const Type& t = btf_.type(btf_.skip_modifiers(m.type));
  u64 bits = 0;
  if (t.kind == Kind::int_) {
    if (owner.kind_flag && !regular_int(t)) return "Invalid member base type";
    if (owner.kind_flag && m.bitfield_size == 0 && m.bit_offset % 8 != 0) return "Invalid member offset";
    if (m.bitfield_size > t.int_bits) return "Invalid member bitfield_size";
    u64 start = u64{m.bit_offset} + (owner.kind_flag ? 0 : t.int_offset);
    bits = (m.bitfield_size != 0 ? m.bitfield_size : t.int_bits) + start % 8;
    if (bits > 128) return "nr_copy_bits exceeds 128";
    return start / 8 + (bits + 7) / 8 > owner.size ? "Member exceeds struct_size" : nullptr;
  }
  bool any_enum = is_any_enum(t.kind);
  if (m.bitfield_size != 0 && (!any_enum || m.bitfield_size > 32)) return "Invalid member bitfield_size";
  if (m.bitfield_size == 0 && m.bit_offset % 8 != 0) return "Member is not byte aligned";
  if (any_enum && owner.kind_flag)
    bits = m.bitfield_size != 0 ? m.bitfield_size : 32;
  else if (any_enum)
    bits = 32;
  else
    bits = btf_.size_of(m.type).value_or(0) * 8;
  if (t.kind == Kind::float_ && m.bit_offset / 8 % std::min(8u, t.size) != 0)
    return "Member is not properly aligned";
  return (u64{m.bit_offset} + bits + 7) / 8 > owner.size ? "Member exceeds struct_size" : nullptr;
}

const char* Resolver::variables(const Type& t) const {
  for (const Entry& v : btf_.entries(t)) {
    const Type& var = btf_.type(v.type);
    if (var.kind != Kind::var) return "Not a VAR kind member";
    Result<u64> size = btf_.size_of(var.type);
    if (!size) return "Invalid type";
    if (v.size < *size) return "Invalid size";
  }
  return nullptr;
}

const char* Resolver::decl_tag(const Type& t) const {
  const Type& to = btf_.type(t.type);
  bool target =
      to.kind == Kind::func || is_composite(to.kind) || to.kind == Kind::var || to.kind == Kind::typedef_;
  if (!target) return "Invalid type_id";
  if (t.component == -1) return nullptr;
  if (to.kind == Kind::var || to.kind == Kind::typedef_) return "Invalid component_idx";
  u32 count = to.kind == Kind::func ? btf_.type(to.type).entry_count : to.entry_count;
  return static_cast<u32>(t.component) >= count ? "Invalid component_idx" : nullptr;
}

const char* Resolver::func_proto(const Type& t) const {
  if (t.type != 0 && (source_only(btf_.type(t.type).kind) || !has_size(t.type))) return "Invalid return type";
  std::span<const Entry> args = btf_.entries(t);
  if (!args.empty() && args.back().type == 0) {  // "..."
    if (args.back().name_off != 0) return "Invalid arg";
    args = args.first(args.size() - 1);
  }
  for (const Entry& arg : args) {
    if (source_only(btf_.type(arg.type).kind) || !has_size(arg.type)) return "Invalid arg";
    std::string_view name = btf_.string(arg.name_off);
    auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
             c == '.';
    };
    if (arg.name_off != 0 && (name.empty() || !std::all_of(name.begin(), name.end(), fits)))
      return "Invalid arg";
  }
  return nullptr;
}

const char* Resolver::func(const Type& t) const {
  const Type& proto = btf_.type(t.type);
  if (proto.kind != Kind::func_proto) return "Invalid type_id";
  for (const Entry& arg : btf_.entries(proto)) {
    if (arg.name_off == 0 && arg.type != 0) return "Invalid arg";
  }
  return nullptr;
}

Result<void> Resolver::check(u32 id) {
  const Type& t = btf_.type(id);
  // Chains first: the rules below rely on them to end.
  if (is_modifier(t.kind) || t.kind == Kind::ptr) TRY(ends(id, Chain::pointers));
  if (is_modifier(t.kind) || contains_others(t.kind)) TRY(ends(id, Chain::containment));
  const char* what = nullptr;
  switch (t.kind) {
    case Kind::ptr:
    case Kind::typedef_:
    case Kind::volatile_:
    case Kind::const_:
    case Kind::restrict_:
    case Kind::type_tag:
    case Kind::var:
      what = reference(t);
      break;
    case Kind::array:
      what = array(t);
      break;
    case Kind::struct_:
    case Kind::union_:
      what = members(t);
      break;
    case Kind::datasec:
      what = variables(t);
      break;
    case Kind::decl_tag:
      what = decl_tag(t);
      break;
    case Kind::func_proto:
      what = func_proto(t);
      break;
    case Kind::func:
      what = func(t);
      break;
    default:
      break;
  }
  if (what != nullptr) return fail(EINVAL, what);
  return {};
}

}  // namespace skep::btf
