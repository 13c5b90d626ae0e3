// See map_btf.hpp.
#include "runtime/map_btf.hpp"

#include <fmt/format.h>

#include "maps/types.hpp"

namespace skep::runtime {
namespace {

Result<void> check_size(const btf::Btf& btf, u32 id, u32 size, std::string_view what) {
  auto got = btf.size_of(id);
  if (!got) return fail(EINVAL, fmt::format("BTF of the {}: type {} has no size", what, id));
  if (*got != size)
    return fail(EINVAL, fmt::format("BTF of the {}: type {} has {} bytes, the map {}", what, id, *got, size));
  return {};
}

/// array_map_check_btf(): the key is a 32-bit integer, or void for the one element of global variables.
Result<void> check_array_key(const MapSpec& spec, const btf::Btf& btf) {
  if (spec.btf_key_type_id == 0) {
    if (spec.type != MapType::array || spec.max_entries != 1)
      return fail(EINVAL, "BTF: only an array of one element has a key without type");
    if (btf.type(spec.btf_value_type_id).kind != btf::Kind::datasec)
      return fail(EINVAL, "BTF: a key without type needs a value that is a DATASEC");
    return {};
  }
  const btf::Type& key = btf.type(btf.skip_modifiers(spec.btf_key_type_id));
  if (key.kind != btf::Kind::int_ || key.int_bits != 32 || key.int_offset != 0)
    return fail(EINVAL, "BTF: the key of an array is a 32-bit integer");
  return {};
}

/// What the types with rules of their own for the key take (their map_check_btf()).
Result<void> check_special_key(maps::MapTypeRow::Btf rule, const MapSpec& spec, const btf::Btf& btf) {
  using Btf = maps::MapTypeRow::Btf;
  const btf::Type& key = btf.type(btf.skip_modifiers(spec.btf_key_type_id));
  const bool is_int = key.kind == btf::Kind::int_ && key.int_offset == 0;
  if (rule == Btf::int_key && !(is_int && key.int_bits == 32))
    return fail(EINVAL,
                fmt::format("BTF: the key of a {} map is a 32-bit integer", map_type_name(spec.type)));
  if (rule == Btf::struct_key && key.kind != btf::Kind::struct_)
    return fail(EINVAL, fmt::format("BTF: the key of a {} map is a structure", map_type_name(spec.type)));
  if (rule == Btf::cgroup_key) {
    const bool wide = spec.key_size != 8;
    if (wide ? key.kind != btf::Kind::struct_ || btf.entries(key).size() != 2
             : !(is_int && key.int_bits == 64))
      return fail(EINVAL, "BTF: the key is a u64 or struct bpf_cgroup_storage_key");
  }
  return {};
}

/// Which map types may have which special fields in their values (kernel: map_check_btf()).
bool field_allowed(MapType type, btf::FieldKind kind) {
  using btf::FieldKind;
  const bool storage = type == MapType::sk_storage || type == MapType::inode_storage ||
                       type == MapType::task_storage || type == MapType::cgrp_storage;
  const bool plain = type == MapType::hash || type == MapType::array;
  switch (kind) {
    case FieldKind::spin_lock:
    case FieldKind::res_spin_lock:
      return plain || storage || type == MapType::cgroup_storage;
    case FieldKind::timer:
    case FieldKind::workqueue:
    case FieldKind::task_work:
    case FieldKind::list_head:
    case FieldKind::rb_root:
      return plain || type == MapType::lru_hash;
    case FieldKind::uptr:
      return type == MapType::task_storage;
    default:
      return plain || storage || type == MapType::percpu_hash || type == MapType::lru_hash ||
             type == MapType::lru_percpu_hash || type == MapType::percpu_array;
  }
}

/// Fields that make no sense are no error here: the map then has none, and programs that want them are
/// refused.
Result<void> find_special_fields(const MapSpec& spec, const btf::Btf& btf, maps::MapFacts& facts) {
  const u32 value = btf.skip_modifiers(spec.btf_value_type_id);
  auto record = btf::find_fields(btf, value, btf::map_value_fields, spec.value_size);
  if (!record) return {};
  if (record->kinds != 0 && (spec.flags & (uapi::F_RDONLY_PROG | uapi::F_WRONLY_PROG)) != 0)
    return fail(EACCES, "a map that programs may not write or read has special fields in its value");
  for (const btf::Field& field : record->fields)
    if (!field_allowed(spec.type, field.kind))
      return fail(EOPNOTSUPP, fmt::format("values of {} maps cannot hold a {}", map_type_name(spec.type),
                                          btf::field_name(field.kind)));
  facts.record = *std::move(record);
  return {};
}

}  // namespace

Result<void> check_map_btf(const MapSpec& spec, const btf::Btf& btf, maps::MapFacts& facts) {
  using Btf = maps::MapTypeRow::Btf;
  const maps::MapTypeRow* row = maps::find_row(spec.type);
  const Btf rule = row != nullptr ? row->btf : Btf::no;
  if (rule == Btf::void_key && spec.btf_key_type_id != 0)
    return fail(EINVAL, fmt::format("BTF: {} maps have no key", map_type_name(spec.type)));
  if (rule == Btf::no) return fail(kENOTSUPP, fmt::format("{} maps take no BTF", map_type_name(spec.type)));
  if (spec.btf_key_type_id != 0) {
    if (auto ok = check_size(btf, spec.btf_key_type_id, spec.key_size, "key"); !ok)
      return std::unexpected(std::move(ok).error());
  } else if (rule != Btf::array && rule != Btf::void_key) {
    return fail(EINVAL, fmt::format("BTF: the key of a {} map needs a type", map_type_name(spec.type)));
  }
  if (auto ok = check_size(btf, spec.btf_value_type_id, spec.value_size, "value"); !ok)
    return std::unexpected(std::move(ok).error());
  if (rule == Btf::array)
    if (auto ok = check_array_key(spec, btf); !ok) return std::unexpected(std::move(ok).error());
  if (rule == Btf::int_key || rule == Btf::struct_key || rule == Btf::cgroup_key)
    if (auto ok = check_special_key(rule, spec, btf); !ok) return std::unexpected(std::move(ok).error());
  if (auto ok = find_special_fields(spec, btf, facts); !ok) return ok;
  facts.btf = &btf;
  facts.value_type_id = spec.btf_value_type_id;
  facts.has_btf = true;
  return {};
}

}  // namespace skep::runtime
