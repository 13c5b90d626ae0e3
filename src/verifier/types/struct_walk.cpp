// What stands at an offset of a struct: a number, a pointer to another struct, a nested struct (kernel:
// btf_struct_walk(), btf_struct_access(), btf_struct_ids_match()).
#include "btf/kernel_btf.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

using btf::Btf;
using btf::Kind;

namespace {

/// A member's type with its arrays unrolled (kernel: __btf_resolve_size()).
struct Resolved {
  u32 id = 0;    ///< of the element, if an array
  u64 size = 0;  ///< whole
  u64 nelems = 1;
  bool array = false;
  bool sized = false;
};

Resolved resolve(const Btf& types, u32 id) {
  Resolved r;
  r.id = types.skip_modifiers(id);
  for (u32 depth = 0; depth < limits::btf_max_depth && types.type(r.id).kind == Kind::array; ++depth) {
    r.array = true;
    r.nelems *= types.type(r.id).nelems;
    r.id = types.skip_modifiers(types.type(r.id).type);
  }
  const btf::Type& type = types.type(r.id);
  switch (type.kind) {
    case Kind::ptr:
      r.size = 8;
      break;
    case Kind::int_:
    case Kind::struct_:
    case Kind::union_:
    case Kind::enum_:
    case Kind::enum64:
    case Kind::float_:
      r.size = type.size;
      break;
    default:
      return r;
  }
  r.sized = true;
  r.size *= r.nelems;
  return r;
}

u16 tag_flag(const Btf& types, u32 pointee) {
  const btf::Type& tag = types.type(pointee);
  if (tag.kind != Kind::type_tag) return tf::none;
  const std::string_view name = types.string(tag.name_off);
  if (name == "user") return tf::user;
  if (name == "percpu") return tf::percpu;
  return name == "rcu" ? tf::rcu : tf::none;
}

}  // namespace

/// The member that the access falls into. Where the struct ends in an array of unknown length, offsets beyond
/// it are taken into its element.
Status Walk::walk_struct(const Btf& types, u32 id, s64 off, s64 size, bool flexible, StructStep& step) {
  for (;;) {
    id = types.skip_modifiers(id);
    const btf::Type& type = types.type(id);
    const std::string_view name = types.string(type.name_off);
    if (!btf::is_composite(type.kind)) return e.reject(EINVAL, "Type '{}' is not a struct\n", name);
    const auto members = types.entries(type);
    if (type.kind == Kind::union_ && members.size() != 1)
      step.flags = static_cast<u16>(step.flags | tf::untrusted);
    if (off + size > s64{type.size}) {
      bool scalar = false;
      if (!flexible || !enter_flexible_array(types, type, off, id, scalar))
        return e.reject(EACCES, "access beyond struct {} at off {} size {}\n", name.empty() ? "(anon)" : name,
                        off, size);
      if (!scalar) continue;
      step.kind = StructStep::Kind::scalar;
      return passed;
    }
    bool deeper = false;
    CHECK(walk_members(types, id, off, size, step, deeper));
    if (!deeper) return passed;
    id = step.type_id;
  }
}

/// `off` lies beyond the struct: in the last member, if that is an array without length.
bool Walk::enter_flexible_array(const Btf& types, const btf::Type& type, s64& off, u32& id, bool& scalar) {
  const auto members = types.entries(type);
  if (members.empty()) return false;
  const btf::Type& last = types.type(types.skip_modifiers(members.back().type));
  const s64 start = members.back().bit_offset / 8;
  if (last.kind != Kind::array || last.nelems != 0 || off < start) return false;
  const u32 element = types.skip_modifiers(last.type);
  const btf::Type& inside = types.type(element);
  scalar = inside.kind == Kind::int_;
  if (scalar) return true;
  if (!btf::is_composite(inside.kind) || inside.size == 0) return false;
  off = (off - start) % inside.size;
  id = element;
  return true;
}

/// `deeper`: the access starts inside a nested struct; step.type_id is that struct and `off` an offset in it.
Status Walk::walk_members(const Btf& types, u32 id, s64& off, s64 size, StructStep& step, bool& deeper) {
  const btf::Type& type = types.type(id);
  const std::string_view name = types.string(type.name_off);
  for (const btf::Entry& member : types.entries(type)) {
    s64 start = member.bit_offset / 8;
    if (off + size <= start) break;
    if (member.bitfield_size != 0) {
      const s64 end = (s64{member.bit_offset} + member.bitfield_size + 7) / 8;
      if (off > start || end > off + size) continue;
      step.kind = StructStep::Kind::scalar;
      return passed;
    }
    if (off < start) break;
    const std::string_view member_name = types.string(member.name_off);
    const Resolved r = resolve(types, member.type);
    if (!r.sized) return e.reject(EFAULT, "field {} doesn't have size\n", member_name);
    const s64 end = start + static_cast<s64>(r.size);
    if (off >= end) continue;
    s64 element_size = static_cast<s64>(r.size);
    if (r.array) {
      if (start == end) continue;
      element_size /= static_cast<s64>(r.nelems);
      start += (off - start) / element_size * element_size;
    }
    const btf::Type& field = types.type(r.id);
    if (btf::is_composite(field.kind)) {
      step.type_id = r.id;
      if (off == start) {
        step.kind = StructStep::Kind::structure;
        return passed;
      }
      off -= start;
      deeper = true;
      return passed;
    }
    if (field.kind == Kind::ptr) {
      if (element_size != size || off != start)
        return e.reject(EACCES, "cannot access ptr member {} with moff {} in struct {} with off {} size {}\n",
                        member_name, start, name, off, size);
      const u32 target = types.skip_modifiers(field.type);
      if (!btf::is_composite(types.type(target).kind)) {
        step.kind = StructStep::Kind::plain_pointer;
        return passed;
      }
      step.type_id = target;
      step.flags = static_cast<u16>(step.flags | tag_flag(types, field.type));
      step.field = member_name;
      step.kind = StructStep::Kind::pointer;
      return passed;
    }
    if (off + size > end && (step.flags & tf::untrusted) == 0)
      return e.reject(EACCES,
                      "access beyond the end of member {} (mend:{}) in struct {} with off {} size {}\n",
                      member_name, end, name, off, size);
    step.kind = StructStep::Kind::scalar;
    return passed;
  }
  return e.reject(EINVAL, "struct {} doesn't have field at offset {}\n", name, off);
}

/// What a load of `size` bytes gives: Base::scalar, Base::btf_id (step.type_id), or Base::mem of which
/// nothing is known.
Status Walk::access_struct(const RegState& reg, s32 off, u32 size, Base& result, StructStep& step) {
  const bool allocated = (reg.type.flags & tf::alloc) != 0;
  if (allocated) {
    if (const btf::Record* record = struct_record(reg.btf, reg.btf_id))
      for (const btf::Field& field : record->fields)
        if (off < s64{field.offset} + field.size && s64{field.offset} < s64{off} + size)
          return e.reject(EACCES, "direct access to {} is disallowed\n", btf::field_name(field.kind));
  }
  u32 id = reg.btf_id;
  s64 at = off;
  for (;;) {
    CHECK(walk_struct(*reg.btf, id, at, size, !allocated, step));
    switch (step.kind) {
      case StructStep::Kind::scalar:
        result = Base::scalar;
        return passed;
      case StructStep::Kind::structure:
        id = step.type_id;
        at = 0;
        continue;
      case StructStep::Kind::plain_pointer:
        result = Base::mem;
        step.flags = tf::rdonly | tf::untrusted;
        return passed;
      case StructStep::Kind::pointer:
        result = allocated ? Base::scalar : Base::btf_id;
        return passed;
    }
  }
}

/// The type at offset `off` of the one is the other: itself, or, unless `strict`, a struct nested there.
bool Walk::struct_ids_match(const Btf* types, u32 id, s32 off, const Btf* want, u32 want_id, bool strict,
                            bool flexible) {
  if (off == 0 && types == want && id == want_id) return true;
  if (strict) return false;
  StructStep step;
  s64 at = off;
  for (;;) {
    if (!walk_struct(*types, id, at, 1, flexible, step).ok()) return false;
    if (step.kind != StructStep::Kind::structure) return false;
    id = step.type_id;
    at = 0;
    if (types == want && id == want_id) return true;
  }
}

}  // namespace skep::verifier
