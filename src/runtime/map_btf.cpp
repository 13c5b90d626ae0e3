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

/// The offset of the value's member of type `struct name`, or -1.
s32 special_field(const btf::Btf& btf, u32 value, std::string_view name) {
  const btf::Type& type = btf.type(btf.skip_modifiers(value));
  if (!btf::is_composite(type.kind)) return -1;
  for (const btf::Entry& member : btf.entries(type)) {
    const u32 id = btf.skip_modifiers(member.type);
    if (btf.type(id).kind == btf::Kind::struct_ && btf.name(id) == name && member.bit_offset % 8 == 0)
      return static_cast<s32>(member.bit_offset / 8);
  }
  return -1;
}

}  // namespace

Result<void> check_map_btf(const MapSpec& spec, const btf::Btf& btf, maps::MapFacts& facts) {
  using Btf = maps::MapTypeRow::Btf;
  const maps::MapTypeRow* row = maps::find_row(spec.type);
  const Btf rule = row != nullptr ? row->btf : Btf::no;
  if (rule == Btf::no) return fail(kENOTSUPP, fmt::format("{} maps take no BTF", map_type_name(spec.type)));
  if (spec.btf_key_type_id != 0) {
    if (auto ok = check_size(btf, spec.btf_key_type_id, spec.key_size, "key"); !ok)
      return std::unexpected(std::move(ok).error());
  } else if (rule != Btf::array) {
    return fail(EINVAL, fmt::format("BTF: the key of a {} map needs a type", map_type_name(spec.type)));
  }
  if (auto ok = check_size(btf, spec.btf_value_type_id, spec.value_size, "value"); !ok)
    return std::unexpected(std::move(ok).error());
  if (rule == Btf::array)
    if (auto ok = check_array_key(spec, btf); !ok) return std::unexpected(std::move(ok).error());
  facts.spin_lock_off = special_field(btf, spec.btf_value_type_id, "bpf_spin_lock");
  facts.timer_off = special_field(btf, spec.btf_value_type_id, "bpf_timer");
  facts.has_btf = true;
  return {};
}

}  // namespace skep::runtime
