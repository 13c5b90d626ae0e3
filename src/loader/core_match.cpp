// Which types count as the same for CO-RE: loosely for fields and existence, strictly for
// bpf_core_type_matches().
#include "base/limits.hpp"
#include "loader/core_spec.hpp"

namespace skep::loader {

Result<bool> types_are_compatible(const btf::Btf& local, u32 local_id, const btf::Btf& target,
                                  u32 target_id) {
  return CoreMatcher(local, target).compatible(local_id, target_id);
}

Result<bool> CoreMatcher::fields_compatible(u32 local_id, u32 target_id) {
  for (u32 depth = 0; depth < limits::btf_max_depth; ++depth) {
    const btf::Type& local = local_.type(local_.skip_modifiers(local_id));
    const btf::Type& target = target_.type(target_.skip_modifiers(target_id));
    if (btf::is_composite(local.kind) && btf::is_composite(target.kind)) return true;
    if (!same_core_kind(local, target)) return false;
    switch (local.kind) {
      case btf::Kind::ptr:
      case btf::Kind::float_:
        return true;
      case btf::Kind::fwd:
      case btf::Kind::enum_:
      case btf::Kind::enum64: {
        std::string_view a = essential_name(local_.string(local.name_off));
        std::string_view b = essential_name(target_.string(target.name_off));
        return a.empty() || b.empty() || a == b;
      }
      case btf::Kind::int_:
        return local.int_offset == 0 && target.int_offset == 0;
      case btf::Kind::array:
        local_id = local.type;
        target_id = target.type;
        continue;
      default:
        return false;
    }
  }
  return fail(EINVAL, "types nest too deep");
}

Result<bool> CoreMatcher::compatible(u32 local_id, u32 target_id, u32 level) {
  if (!same_core_kind(local_.type(local_id), target_.type(target_id))) return false;
  for (u32 depth = 0; depth < limits::btf_max_depth; ++depth) {
    TRY(spend());
    const btf::Type& local = local_.type(local_.skip_modifiers(local_id));
    const btf::Type& target = target_.type(target_.skip_modifiers(target_id));
    if (!same_core_kind(local, target)) return false;
    switch (local.kind) {
      case btf::Kind::void_:
      case btf::Kind::struct_:
      case btf::Kind::union_:
      case btf::Kind::enum_:
      case btf::Kind::enum64:
      case btf::Kind::fwd:
        return true;
      case btf::Kind::int_:
        return local.int_offset == 0 && target.int_offset == 0;
      case btf::Kind::ptr:
      case btf::Kind::array:
      case btf::Kind::func_proto:
        break;
      default:
        return false;
    }
    if (local.kind == btf::Kind::func_proto) {
      if (local.entry_count != target.entry_count) return false;
      for (u32 i = 0; i < local.entry_count; ++i) {
        if (level == 0) return fail(EINVAL, "function types nest too deep");
        u32 a = local_.skip_modifiers(local_.entries(local)[i].type);
        u32 b = target_.skip_modifiers(target_.entries(target)[i].type);
        if (!TRY(compatible(a, b, level - 1))) return false;
      }
    }
    local_id = local.type;
    target_id = target.type;
  }
  return fail(EINVAL, "types nest too deep");
}

bool CoreMatcher::names_match(const btf::Type& local, const btf::Type& target) const {
  return essential_name(local_.string(local.name_off)) == essential_name(target_.string(target.name_off));
}

bool CoreMatcher::enums_match(const btf::Type& local, const btf::Type& target) const {
  if (local.size != target.size || local.entry_count > target.entry_count) return false;
  for (const btf::Entry& a : local_.entries(local)) {
    bool found = false;
    for (const btf::Entry& b : target_.entries(target))
      found =
          found || essential_name(local_.string(a.name_off)) == essential_name(target_.string(b.name_off));
    if (!found) return false;
  }
  return true;
}

Result<bool> CoreMatcher::composites_match(const btf::Type& local, const btf::Type& target, u32 level) {
  if (local.entry_count > target.entry_count) return false;
  for (const btf::Entry& a : local_.entries(local)) {
    bool found = false;
    for (const btf::Entry& b : target_.entries(target)) {
      TRY(spend());
      if (essential_name(local_.string(a.name_off)) != essential_name(target_.string(b.name_off))) continue;
      found = TRY(matches(a.type, b.type, false, level - 1));
      if (found) break;
    }
    if (!found) return false;
  }
  return true;
}

Result<bool> CoreMatcher::matches(u32 local_id, u32 target_id, bool behind_pointer, u32 level) {
  if (level == 0) return fail(EINVAL, "types nest too deep");
  for (u32 depth = 0; depth < limits::btf_max_depth; ++depth) {
    TRY(spend());
    const btf::Type& local = local_.type(local_.skip_modifiers(local_id));
    const btf::Type& target = target_.type(target_.skip_modifiers(target_id));
    if (!names_match(local, target)) return false;
    bool same = local.kind == target.kind;
    switch (local.kind) {
      case btf::Kind::void_:
        return same;
      case btf::Kind::fwd: {
        if (same) return local.kind_flag == target.kind_flag;
        auto meant = local.kind_flag ? btf::Kind::union_ : btf::Kind::struct_;
        return behind_pointer && target.kind == meant;
      }
      case btf::Kind::enum_:
      case btf::Kind::enum64:
        return btf::is_any_enum(target.kind) && enums_match(local, target);
      case btf::Kind::struct_:
      case btf::Kind::union_:
        if (!behind_pointer) return same && TRY(composites_match(local, target, level));
        return same ||
               (target.kind == btf::Kind::fwd && target.kind_flag == (local.kind == btf::Kind::union_));
      case btf::Kind::int_:
        return same && local.size == target.size &&
               (local.int_encoding & btf::int_signed) == (target.int_encoding & btf::int_signed);
      case btf::Kind::ptr:
        behind_pointer = true;
        break;
      case btf::Kind::array:
        if (local.nelems != target.nelems) return false;
        break;
      case btf::Kind::func_proto:
        if (!same || local.entry_count != target.entry_count) return false;
        for (u32 i = 0; i < local.entry_count; ++i) {
          bool fits = TRY(matches(local_.entries(local)[i].type, target_.entries(target)[i].type,
                                  behind_pointer, level - 1));
          if (!fits) return false;
        }
        break;
      default:
        return false;
    }
    if (!same) return false;
    local_id = local.type;
    target_id = target.type;
  }
  return fail(EINVAL, "types nest too deep");
}

}  // namespace skep::loader
