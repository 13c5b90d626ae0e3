// See record.hpp. The steps and errnos are btf_find_field()'s and btf_parse_fields()'s.
#include "btf/record.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skep::btf {

namespace {

constexpr u32 max_fields = 11;  // BTF_FIELDS_MAX
constexpr u32 max_depth = 32;   // MAX_RESOLVE_DEPTH

struct Named {
  std::string_view name;
  FieldKind kind;
  u32 size, align;
  bool once;
};
constexpr Named named_fields[] = {
    {"bpf_spin_lock", FieldKind::spin_lock, 4, 4, true},
    {"bpf_res_spin_lock", FieldKind::res_spin_lock, 4, 4, true},
    {"bpf_timer", FieldKind::timer, 16, 8, true},
    {"bpf_wq", FieldKind::workqueue, 16, 8, true},
    {"bpf_task_work", FieldKind::task_work, 8, 8, true},
    {"bpf_list_head", FieldKind::list_head, 16, 8, false},
    {"bpf_list_node", FieldKind::list_node, 24, 8, false},
    {"bpf_rb_root", FieldKind::rb_root, 16, 8, false},
    {"bpf_rb_node", FieldKind::rb_node, 32, 8, false},
    {"bpf_refcount", FieldKind::refcount, 4, 4, true},
};

bool may_repeat(FieldKind kind) { return (field_bit(kind) & (kptr_fields | graph_roots)) != 0; }

class Finder {
 public:
  Finder(const Btf& btf, u32 mask) : btf_(btf), mask_(mask) {}

  /// Appends what a value of type `id` at byte `at` holds.
  Result<void> struct_fields(u32 id, u64 at, u32 depth) {
    const Type& type = btf_.type(id);
    const std::span<const Entry> members = btf_.entries(type);
    for (u32 i = 0; i < members.size(); ++i) {
      if (members[i].bit_offset % 8 != 0)
        return fail(EINVAL, "a member of the value does not start at a byte");
      TRY(one(id, members[i].type, static_cast<s32>(i), at, members[i].bit_offset / 8, 0, depth));
    }
    return {};
  }

  Result<void> section_fields(u32 id) {
    for (const Entry& variable : btf_.entries(btf_.type(id)))
      TRY(one(variable.type, btf_.type(variable.type).type, -1, 0, variable.offset, variable.size, 0));
    return {};
  }

  std::vector<Field> found;

 private:
  Result<void> one(u32 owner, u32 id, s32 component, u64 base, u64 offset, u32 expected, u32 depth) {
    u64 nelems = 1;
    u32 level = 0;
    for (; level < max_depth && btf_.type(id).kind == Kind::array; ++level) {
      nelems *= btf_.type(id).nelems;
      id = btf_.type(id).type;
      if (nelems > UINT32_MAX) nelems = UINT32_MAX;
    }
    if (level == max_depth) return fail(E2BIG, "BTF array is nested too deeply");
    if (nelems == 0) return {};
    const Type& type = btf_.type(id);
    const std::size_t first = found.size();
    u64 size = 8;
    if (const Named* row = by_name(type)) {
      if (row->once && (seen_ & field_bit(row->kind)) != 0)
        return fail(E2BIG, fmt::format("more than one {} in the value", row->name));
      if (row->once) seen_ |= field_bit(row->kind);
      size = row->size;
      if ((expected != 0 && expected != size * nelems) || offset % row->align != 0) return {};
      TRY(structure(*row, type, owner, component, base + offset));
    } else if (is_composite(type.kind)) {
      size = type.size;
      if (expected != 0 && expected != size * nelems) return {};
      if (depth + 1 >= max_depth) return fail(E2BIG, "BTF value type is nested too deeply");
      if (++visited_ > 100'000) return fail(E2BIG, "BTF value type is too large to look for special fields");
      TRY(struct_fields(id, base + offset, depth + 1));
    } else if ((mask_ & kptr_fields) != 0) {
      if ((expected != 0 && expected != 8 * nelems) || offset % 8 != 0) return {};
      TRY(pointer(id, base + offset));
    }
    return found.size() > first && nelems > 1 ? repeat(first, nelems, size) : Result<void>{};
  }

  [[nodiscard]] const Named* by_name(const Type& type) const {
    const std::string_view name = btf_.string(type.name_off);
    for (const Named& row : named_fields)
      if ((mask_ & field_bit(row.kind)) != 0 && row.name == name) return &row;
    return nullptr;
  }

  Result<void> add(Field field) {
    if (found.size() >= max_fields) return fail(E2BIG, "the value has more than 11 special fields");
    found.push_back(field);
    return {};
  }

  Result<void> structure(const Named& row, const Type& type, u32 owner, s32 component, u64 at) {
    if (!is_composite(type.kind) || type.size != row.size) return {};
    Field field{row.kind, static_cast<u32>(at), row.size};
    if ((field_bit(row.kind) & graph_roots) != 0) TRY(graph_root(owner, component, field));
    return add(field);
  }

  /// `contains:TYPE:MEMBER` on the member or variable says what a root's nodes are.
  Result<void> graph_root(u32 owner, s32 component, Field& field) {
    constexpr std::string_view key = "contains:";
    std::string_view value;
    for (u32 id = 1; id <= btf_.type_count(); ++id) {
      const Type& tag = btf_.type(id);
      if (tag.kind != Kind::decl_tag || tag.type != owner || tag.component != component) continue;
      const std::string_view text = btf_.string(tag.name_off);
      if (!text.starts_with(key)) continue;
      if (!value.empty()) return fail(EINVAL, "two 'contains:' tags on one root");
      value = text.substr(key.size());
    }
    const auto colon = value.find(':');
    if (colon == value.npos) return fail(EINVAL, "a list head or tree root has no 'contains:' tag");
    field.target = btf_.find(Kind::struct_, value.substr(0, colon));
    if (field.target == 0)
      return fail(ENOENT, fmt::format("no struct {} for a 'contains:' tag", value.substr(0, colon)));
    return graph_node(value.substr(colon + 1), field);
  }

  Result<void> graph_node(std::string_view node, Field& field) {
    const std::string_view want = field.kind == FieldKind::list_head ? "bpf_list_node" : "bpf_rb_node";
    if (node.empty()) return fail(EINVAL, "a 'contains:' tag names no member");
    bool seen = false;
    for (const Entry& member : btf_.entries(btf_.type(field.target))) {
      if (btf_.string(member.name_off) != node) continue;
      const bool fits = btf_.type(member.type).kind == Kind::struct_ && btf_.name(member.type) == want;
      if (seen || !fits || member.bit_offset % 64 != 0)
        return fail(EINVAL, fmt::format("member {} of a 'contains:' tag is no {}", node, want));
      seen = true;
      field.node_offset = member.bit_offset / 8;
    }
    if (!seen) return fail(ENOENT, fmt::format("no member {} for a 'contains:' tag", node));
    return {};
  }

  /// `struct x __kptr *` and its kin.
  Result<void> pointer(u32 id, u64 at) {
    if (btf_.type(id).kind == Kind::volatile_) id = btf_.type(id).type;
    if (btf_.type(id).kind != Kind::ptr) return {};
    const Type& tag = btf_.type(btf_.type(id).type);
    if (tag.kind != Kind::type_tag) return {};
    if (btf_.type(tag.type).kind == Kind::type_tag) return fail(EINVAL, "a kernel pointer with two tags");
    const std::string_view name = btf_.string(tag.name_off);
    Field field{FieldKind::kptr, static_cast<u32>(at), 8};
    if (name == "kptr_untrusted") {
      field.kind = FieldKind::kptr_untrusted;
    } else if (name == "percpu_kptr") {
      field.kind = FieldKind::percpu_kptr;
    } else if (name == "uptr") {
      field.kind = FieldKind::uptr;
    } else if (name != "kptr") {
      return fail(EINVAL, fmt::format("pointer in a map value has the tag '{}'", name));
    }
    if ((mask_ & field_bit(field.kind)) == 0) return {};
    field.target = btf_.skip_modifiers(tag.type);
    if (!is_composite(btf_.type(field.target).kind))
      return fail(EINVAL, "a kernel pointer in a map value points to no struct");
    return add(field);
  }

  /// The elements of an array after the first.
  Result<void> repeat(std::size_t first, u64 nelems, u64 size) {
    const std::size_t count = found.size() - first;
    for (std::size_t i = first; i < found.size(); ++i)
      if (!may_repeat(found[i].kind))
        return fail(EINVAL, fmt::format("an array of {} in the value", field_name(found[i].kind)));
    if (first + count * nelems > max_fields) return fail(E2BIG, "the value has more than 11 special fields");
    for (u64 k = 1; k < nelems; ++k) {
      for (std::size_t i = 0; i < count; ++i) {
        Field field = found[first + i];
        field.offset += static_cast<u32>(k * size);
        found.push_back(field);
      }
    }
    return {};
  }

  const Btf& btf_;
  u32 mask_;
  u32 seen_ = 0;
  u32 visited_ = 0;
};

Result<void> check_together(const Record& record) {
  const bool locked = record.spin_lock_off >= 0 || record.res_spin_lock_off >= 0;
  if (record.has_any(graph_roots) && !locked)
    return fail(EINVAL, "a list head or tree root needs a bpf_spin_lock beside it");
  if (record.spin_lock_off >= 0 && record.res_spin_lock_off >= 0)
    return fail(EINVAL, "a value with two kinds of spin locks");
  if (record.refcount_off < 0 && record.has(FieldKind::list_node) && record.has(FieldKind::rb_node))
    return fail(EINVAL, "an object with a list node and a tree node needs a bpf_refcount");
  return {};
}

}  // namespace

std::string_view field_name(FieldKind kind) {
  switch (kind) {
    case FieldKind::kptr_untrusted:
    case FieldKind::kptr:
      return "kptr";
    case FieldKind::percpu_kptr:
      return "percpu_kptr";
    case FieldKind::uptr:
      return "uptr";
    default:
      break;
  }
  for (const Named& row : named_fields)
    if (row.kind == kind) return row.name;
  return "unknown";
}

const Field* Record::find(u32 offset, u32 kinds_wanted) const {
  if (!has_any(kinds_wanted)) return nullptr;
  for (const Field& field : fields)
    if (field.offset == offset && (field_bit(field.kind) & kinds_wanted) != 0) return &field;
  return nullptr;
}

Result<Record> find_fields(const Btf& btf, u32 type, u32 mask, u32 size) {
  Record record;
  Finder finder(btf, mask);
  const Kind kind = btf.type(type).kind;
  if (is_composite(kind)) {
    TRY(finder.struct_fields(type, 0, 0));
  } else if (kind == Kind::datasec) {
    TRY(finder.section_fields(type));
  } else {
    return record;
  }
  u64 next = 0;
  for (const Field& field : finder.found) {
    if (u64{field.offset} + field.size > size)
      return fail(EFAULT, "a special field stands outside of the value");
    if (field.offset < next) return fail(EEXIST, "special fields of the value overlap");
    next = u64{field.offset} + field.size;
    record.kinds |= field_bit(field.kind);
    const auto at = static_cast<s32>(field.offset);
    if (field.kind == FieldKind::spin_lock) record.spin_lock_off = at;
    if (field.kind == FieldKind::res_spin_lock) record.res_spin_lock_off = at;
    if (field.kind == FieldKind::timer) record.timer_off = at;
    if (field.kind == FieldKind::workqueue) record.workqueue_off = at;
    if (field.kind == FieldKind::refcount) record.refcount_off = at;
    if (field.kind == FieldKind::task_work) record.task_work_off = at;
  }
  record.fields = std::move(finder.found);
  TRY(check_together(record));
  std::stable_sort(record.fields.begin(), record.fields.end(),
                   [](const Field& a, const Field& b) { return a.offset < b.offset; });
  return record;
}

}  // namespace skep::btf
