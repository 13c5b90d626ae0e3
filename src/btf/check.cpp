// What BPF_BTF_LOAD demands of BTF beyond its structure: the per-type rules (the kernel's *_check_meta
// functions in kernel/bpf/btf.c) and, in resolve.cpp, those that follow types from one to the next.
// Messages are the kernel's, with the type's id before them.
#include <algorithm>
#include <bit>

#include "btf/resolve.hpp"

namespace skep::btf {

namespace {

constexpr std::size_t kMaxName = 512;  // KSYM_NAME_LEN

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// btf_name_valid_identifier(): C identifiers, and dots, which clang puts into static variables' names.
bool valid_identifier(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (!is_alpha(c) && c != '_' && c != '.' && (i == 0 || !is_digit(c))) return false;
  }
  return true;
}

/// btf_name_valid_section(): any printable text.
bool valid_section(std::string_view name) {
  if (name.empty() || name.size() > kMaxName) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

using Finding = const char*;  // what is wrong, or nullptr

class MetaCheck {
 public:
  MetaCheck(const Btf& btf, const Type& type) : btf_(btf), t_(type) {}

  Result<void> run() {
    if (t_.kind == Kind::int_ && t_.int_encoding != 0 && std::popcount(t_.int_encoding) != 1)
      return fail(kENOTSUPP, "Unsupported encoding");
    if (t_.kind == Kind::int_ && t_.int_encoding > int_bool) return fail(kENOTSUPP, "Unsupported encoding");
    if (Finding what = flag()) return fail(EINVAL, what);
    if (Finding what = name()) return fail(EINVAL, what);
    if (Finding what = details()) return fail(EINVAL, what);
    return {};
  }

 private:
  bool named() const { return t_.name_off != 0; }
  bool identifier(u32 name_off) const { return valid_identifier(btf_.string(name_off)); }

  Finding flag() const {
    if (!t_.kind_flag || is_composite(t_.kind) || is_any_enum(t_.kind) || t_.kind == Kind::fwd)
      return nullptr;
    return "Invalid btf_info kind_flag";
  }

  Finding name() const {
    switch (t_.kind) {
      case Kind::ptr:
      case Kind::volatile_:
      case Kind::const_:
      case Kind::restrict_:
      case Kind::array:
      case Kind::func_proto:
        return named() ? "Invalid name" : nullptr;
      case Kind::struct_:
      case Kind::union_:
      case Kind::enum_:
      case Kind::enum64:
        return named() && !identifier(t_.name_off) ? "Invalid name" : nullptr;
      case Kind::typedef_:
      case Kind::fwd:
      case Kind::func:
      case Kind::var:
        return !identifier(t_.name_off) ? "Invalid name" : nullptr;
      case Kind::type_tag:
        return btf_.string(t_.name_off).empty() ? "Invalid name" : nullptr;
      case Kind::decl_tag:
        return btf_.string(t_.name_off).empty() ? "Invalid value" : nullptr;
      case Kind::datasec:
        return !valid_section(btf_.string(t_.name_off)) ? "Invalid name" : nullptr;
      default:
        return nullptr;
    }
  }

  Finding details() const {
    switch (t_.kind) {
      case Kind::fwd:
        return t_.type != 0 ? "type != 0" : nullptr;
      case Kind::array:
        if (t_.size != 0) return "size != 0";
        if (t_.type == 0) return "Invalid elem";
        return t_.index_type == 0 ? "Invalid index" : nullptr;
      case Kind::struct_:
      case Kind::union_:
        return members();
      case Kind::enum_:
      case Kind::enum64:
        return enumerators();
      case Kind::func:
        return t_.linkage > linkage_global ? "Invalid func linkage" : nullptr;
      case Kind::var:
        if (t_.type == 0) return "Invalid type_id";
        return t_.linkage > linkage_global ? "Linkage not supported" : nullptr;
      case Kind::datasec:
        return variables();
      case Kind::float_:
        if (t_.size != 2 && t_.size != 4 && t_.size != 8 && t_.size != 12 && t_.size != 16)
          return "Invalid type_size";
        return nullptr;
      case Kind::decl_tag:
        return t_.component < -1 ? "Invalid component_idx" : nullptr;
      default:
        return nullptr;
    }
  }

  Finding members() const {
    u32 last = 0;
    for (const Entry& m : btf_.entries(t_)) {
      if (m.name_off != 0 && !identifier(m.name_off)) return "Invalid member name";
      if (m.type == 0) return "Invalid member type_id";
      if ((t_.kind == Kind::union_ && m.bit_offset != 0) || last > m.bit_offset)
        return "Invalid member bits_offset";
      if ((u64{m.bit_offset} + 7) / 8 > t_.size) return "Member bits_offset exceeds its struct size";
      last = m.bit_offset;
    }
    return nullptr;
  }

  Finding enumerators() const {
    if (t_.size > 8 || !std::has_single_bit(t_.size)) return "Unexpected size";
    for (const Entry& e : btf_.entries(t_)) {
      if (!identifier(e.name_off)) return "Invalid name";
    }
    return nullptr;
  }

  Finding variables() const {
    if (t_.size == 0) return "size == 0";
    u64 end = 0;
    for (const Entry& v : btf_.entries(t_)) {
      if (v.type == 0) return "Invalid type_id";
      if (v.offset < end || v.offset >= t_.size) return "Invalid offset";
      if (v.size == 0 || v.size > t_.size) return "Invalid size";
      end = u64{v.offset} + v.size;
      if (end > t_.size) return "Invalid offset+size";
    }
    return nullptr;
  }

  const Btf& btf_;
  const Type& t_;
};

std::unexpected<Error> naming(u32 id, const Btf& btf, const Error& error) {
  return fail(error.code, "BTF type [" + std::to_string(id) + "] " +
                              std::string(kind_name(btf.type(id).kind)) + " '" + std::string(btf.name(id)) +
                              "': " + error.what);
}

/// btf_check_type_tags(): type tags come before the other modifiers of a chain.
Result<void> check_tag_order(const Btf& btf, u32 id) {
  bool in_tags = btf.type(id).kind == Kind::type_tag;
  u32 at = id;
  for (int left = 32; is_modifier(btf.type(at).kind); --left) {
    if (left == 0) return fail(ELOOP, "Max chain length or cycle detected");
    bool tag = btf.type(at).kind == Kind::type_tag;
    if (tag && !in_tags) return fail(EINVAL, "Type tags don't precede modifiers");
    if (!tag) in_tags = false;
    at = btf.type(at).type;
  }
  return {};
}

}  // namespace

Result<void> check_as_kernel(const Btf& btf) {
  u32 first = btf.first_id(), last = btf.type_count();
  for (u32 id = first; id <= last; ++id) {
    if (Result<void> ok = MetaCheck(btf, btf.type(id)).run(); !ok) return naming(id, btf, ok.error());
  }
  Resolver resolver(btf);
  for (u32 id = first; id <= last; ++id) {
    if (Result<void> ok = resolver.check(id); !ok) return naming(id, btf, ok.error());
  }
  for (u32 id = first; id <= last; ++id) {
    if (Result<void> ok = check_tag_order(btf, id); !ok) return naming(id, btf, ok.error());
  }
  return {};
}

}  // namespace skep::btf
