// Access paths: parsing "0:1:2" against the program's types, and finding the same path in another BTF.
#include "loader/core_spec.hpp"

#include <fmt/format.h>

#include <charconv>

namespace skep::loader {

namespace {
constexpr std::size_t kMaxSteps = 64;          // BPF_CORE_SPEC_MAX_LEN
constexpr u64 kMaxBits = u64{UINT32_MAX} * 8;  // of an offset; larger ones cannot be real
}  // namespace

bool is_field_kind(CoreKind kind) { return kind <= CoreKind::field_rshift_u64; }
bool is_type_kind(CoreKind kind) {
  return (kind >= CoreKind::type_id_local && kind <= CoreKind::type_size) || kind == CoreKind::type_matches;
}
bool is_enumval_kind(CoreKind kind) {
  return kind == CoreKind::enumval_exists || kind == CoreKind::enumval_value;
}

std::string_view essential_name(std::string_view name) {
  // The last "x___y" where neither x nor y is an underscore.
  for (std::size_t i = name.size() < 5 ? 0 : name.size() - 4; i-- > 0;) {
    if (name[i] != '_' && name.substr(i + 1, 3) == "___" && name[i + 4] != '_') return name.substr(0, i + 1);
  }
  return name;
}

bool same_core_kind(const btf::Type& a, const btf::Type& b) {
  return a.kind == b.kind || (btf::is_any_enum(a.kind) && btf::is_any_enum(b.kind));
}

bool is_flexible_array(const btf::Btf& btf, const std::vector<CoreAccess>& steps, const btf::Type& array) {
  if (steps.empty() || steps.back().name.empty() || array.nelems > 1) return false;
  return steps.back().index + 1 == btf.type(steps.back().type_id).entry_count;
}

namespace {

Result<std::vector<u32>> parse_indices(std::string_view text) {
  std::vector<u32> out;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    s32 value = 0;
    auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0)
      return fail(EINVAL, fmt::format("access string '{}' is malformed", text));
    if (out.size() == kMaxSteps) return fail(E2BIG, fmt::format("access string '{}' is too long", text));
    out.push_back(static_cast<u32>(value));
    if (rest == end) return out;
    if (*rest != ':') return fail(EINVAL, fmt::format("access string '{}' is malformed", text));
    at = rest + 1;
  }
}

Result<void> add_elements(CoreSpec& spec, u32 index, u32 element) {
  u64 size = TRY(spec.btf->size_of(element));
  if (index != 0 && size > kMaxBits / 8 / index) return fail(EINVAL, "access path reaches too far");
  spec.bit_offset += index * size * 8;
  if (spec.bit_offset > kMaxBits) return fail(EINVAL, "access path reaches too far");
  return {};
}

}  // namespace

Result<CoreSpec> parse_spec(const btf::Btf& btf, const CoreRelocation& relocation) {
  auto kind = static_cast<CoreKind>(relocation.kind);
  CoreSpec spec;
  spec.btf = &btf;
  spec.root = relocation.type_id;
  if (is_type_kind(kind)) {
    if (relocation.access != "0")
      return fail(EINVAL, fmt::format("access string '{}' of a type is not '0'", relocation.access));
    return spec;
  }
  spec.raw = TRY(parse_indices(relocation.access));
  u32 id = btf.skip_modifiers(relocation.type_id);
  spec.steps.push_back({id, spec.raw[0], {}});
  if (is_enumval_kind(kind)) {
    const btf::Type& t = btf.type(id);
    if (!btf::is_any_enum(t.kind) || spec.raw.size() > 1 || spec.raw[0] >= t.entry_count)
      return fail(EINVAL, fmt::format("access string '{}' names no enumerator", relocation.access));
    spec.steps[0].name = btf.string(btf.entries(t)[spec.raw[0]].name_off);
    return spec;
  }
  if (!is_field_kind(kind)) return fail(EINVAL, fmt::format("unknown kind {}", relocation.kind));
  TRY(add_elements(spec, spec.raw[0], id));
  for (std::size_t i = 1; i < spec.raw.size(); ++i) {
    id = btf.skip_modifiers(id);
    const btf::Type& t = btf.type(id);
    u32 index = spec.raw[i];
    if (btf::is_composite(t.kind)) {
      if (index >= t.entry_count) return fail(EINVAL, fmt::format("type [{}] has no member #{}", id, index));
      const btf::Entry& member = btf.entries(t)[index];
      spec.bit_offset += member.bit_offset;
      if (member.name_off != 0) spec.steps.push_back({id, index, btf.string(member.name_off)});
      id = member.type;
    } else if (t.kind == btf::Kind::array) {
      u32 element = btf.skip_modifiers(t.type);
      if (index >= t.nelems && !is_flexible_array(btf, spec.steps, t))
        return fail(EINVAL, fmt::format("array type [{}] has no element #{}", id, index));
      spec.steps.push_back({element, index, {}});
      TRY(add_elements(spec, index, element));
      id = element;
    } else {
      return fail(EINVAL, fmt::format("type [{}] of kind {} has no parts", id, btf::kind_name(t.kind)));
    }
  }
  return spec;
}

Result<void> CoreMatcher::spend() {
  if (budget_ == 0) return fail(E2BIG, "types are too large to match");
  --budget_;
  return {};
}

Result<std::optional<CoreSpec>> CoreMatcher::match(const CoreSpec& spec, CoreKind kind, u32 target_id) {
  CoreSpec found;
  found.btf = &target_;
  found.root = target_id;
  if (is_type_kind(kind)) {
    bool fits = kind == CoreKind::type_matches ? TRY(matches(spec.root, target_id))
                                               : TRY(compatible(spec.root, target_id));
    return fits ? std::optional(found) : std::nullopt;
  }
  if (is_enumval_kind(kind)) return match_enumerator(spec, target_id);
  bool fits = TRY(match_fields(spec, target_id, found));
  return fits ? std::optional(std::move(found)) : std::nullopt;
}

std::optional<CoreSpec> CoreMatcher::match_enumerator(const CoreSpec& spec, u32 target_id) {
  CoreSpec found;
  found.btf = &target_;
  found.root = target_id;
  u32 id = target_.skip_modifiers(target_id);
  const btf::Type& t = target_.type(id);
  if (!btf::is_any_enum(t.kind)) return std::nullopt;
  std::span<const btf::Entry> entries = target_.entries(t);
  for (u32 i = 0; i < entries.size(); ++i) {
    std::string_view name = target_.string(entries[i].name_off);
    if (essential_name(name) != essential_name(spec.steps[0].name)) continue;
    found.steps.push_back({id, i, name});
    found.raw.push_back(i);
    return found;
  }
  return std::nullopt;
}

Result<bool> CoreMatcher::match_fields(const CoreSpec& spec, u32 target_id, CoreSpec& out) {
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const CoreAccess& access = spec.steps[i];
    target_id = target_.skip_modifiers(target_id);
    u32 next = 0;
    bool fits = access.name.empty() ? TRY(match_index(access, i == 0, target_id, out))
                                    : TRY(match_member(access, target_id, out, next));
    if (!fits) return false;
    if (!access.name.empty()) target_id = next;
  }
  return true;
}

Result<bool> CoreMatcher::match_index(const CoreAccess& access, bool first, u32& target_id, CoreSpec& out) {
  // The first index is into an imagined array of the root type; later ones into real arrays.
  if (!first) {
    const btf::Type& array = target_.type(target_id);
    if (array.kind != btf::Kind::array) return false;
    if (access.index >= array.nelems && !is_flexible_array(target_, out.steps, array)) return false;
    target_id = target_.skip_modifiers(array.type);
  }
  if (out.raw.size() == kMaxSteps) return fail(E2BIG, "types nest too deep");
  out.steps.push_back({target_id, access.index, {}});
  out.raw.push_back(access.index);
  TRY(add_elements(out, access.index, target_id));
  return true;
}

/// The member of that name, also within anonymous structs and unions; `next` becomes its type.
Result<bool> CoreMatcher::match_member(const CoreAccess& access, u32 target_id, CoreSpec& out, u32& next) {
  target_id = target_.skip_modifiers(target_id);
  const btf::Type& t = target_.type(target_id);
  if (!btf::is_composite(t.kind)) return false;
  u32 local_member = local_.entries(local_.type(access.type_id))[access.index].type;
  std::span<const btf::Entry> members = target_.entries(t);
  for (u32 i = 0; i < members.size(); ++i) {
    TRY(spend());
    if (out.raw.size() == kMaxSteps) return fail(E2BIG, "types nest too deep");
    std::string_view name = target_.string(members[i].name_off);
    if (!name.empty() && name != access.name) continue;
    out.bit_offset += members[i].bit_offset;
    out.raw.push_back(i);
    if (name.empty()) {
      if (TRY(match_member(access, members[i].type, out, next))) return true;
      out.bit_offset -= members[i].bit_offset;
      out.raw.pop_back();
      continue;
    }
    out.steps.push_back({target_id, i, name});
    next = members[i].type;
    return fields_compatible(local_member, members[i].type);
  }
  return false;
}

}  // namespace skep::loader
