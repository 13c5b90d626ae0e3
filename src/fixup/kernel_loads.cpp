// See kernel_loads.hpp.
#include "fixup/kernel_loads.hpp"

#include <algorithm>

#include "fixup/rewrite.hpp"
#include "maps/facts_place.hpp"
#include "progs/kernel_fields.hpp"

namespace skep::fixup {
namespace {

using How = KernelField::How;

/// A member and where it begins in its struct.
struct Place {
  u32 type = 0;  ///< 0: there is none
  u32 bit_offset = 0;
  u32 bitfield_size = 0;
};

/// The member of that name; those of anonymous structs and unions are the struct's own.
Place member(const btf::Btf& types, u32 type, std::string_view name, int depth = 0) {
  constexpr int depth_max = 8;
  for (const btf::Entry& entry : types.entries(types.type(type))) {
    const std::string_view its_name = types.string(entry.name_off);
    if (its_name == name) return {entry.type, entry.bit_offset, entry.bitfield_size};
    const u32 inner = types.skip_modifiers(entry.type);
    if (!its_name.empty() || depth == depth_max || !btf::is_composite(types.type(inner).kind)) continue;
    Place found = member(types, inner, name, depth + 1);
    found.bit_offset += entry.bit_offset;
    if (found.type != 0) return found;
  }
  return {};
}

/// The same for a path of names with dots between them.
Place member_by_path(const btf::Btf& types, u32 type, std::string_view path) {
  u32 bits = 0;
  for (;;) {
    const auto dot = path.find('.');
    Place place = member(types, type, path.substr(0, dot));
    place.bit_offset += bits;
    if (place.type == 0 || dot == path.npos) return place;
    bits = place.bit_offset;
    type = types.skip_modifiers(place.type);
    path.remove_prefix(dot + 1);
  }
}

/// `type`, or the struct that it begins with, ..., which has that name; 0: none has.
u32 as_struct(const btf::Btf& types, u32 type, std::string_view name) {
  constexpr int depth_max = 8;
  for (int depth = 0; depth < depth_max && btf::is_composite(types.type(type).kind); ++depth) {
    if (types.name(type) == name) return type;
    const auto entries = types.entries(types.type(type));
    if (entries.empty() || entries.front().bit_offset != 0) return 0;
    type = types.skip_modifiers(entries.front().type);
  }
  return 0;
}

std::optional<KernelField> bpf_map_field(const btf::Btf& types, u32 type, u32 off, u32 size) {
  for (const maps::MapField& field : maps::map_fields) {
    const Place place = member(types, type, field.name);
    if (place.type != 0 && place.bit_offset == off * 8 && field.size == size)
      return KernelField{How::moved, static_cast<s16>(field.offset)};
  }
  // The hash of the one program that may use the map (exclusive maps, which are not here).
  const Place sha = member(types, type, "sha");
  if (sha.type == 0) return std::nullopt;
  const u32 begin = sha.bit_offset / 8;
  const u64 bytes = types.size_of(sha.type).value_or(0);
  if (off < begin || off + size > begin + bytes) return std::nullopt;
  return KernelField{How::zero};
}

/// The kernel's struct sk_buff is laid out as ours: its size and the places of members that lie far apart.
bool is_our_sk_buff(const btf::Btf& types, u32 type) {
  struct Known {
    std::string_view name;
    std::size_t offset;
  };
  constexpr Known places[] = {{"sk", offsetof(progs::SkBuff, sk)},
                              {"cb", offsetof(progs::SkBuff, cb)},
                              {"len", offsetof(progs::SkBuff, len)},
                              {"data_len", offsetof(progs::SkBuff, data_len)},
                              {"queue_mapping", offsetof(progs::SkBuff, queue_mapping)},
                              {"end", offsetof(progs::SkBuff, end)},
                              {"head", offsetof(progs::SkBuff, head)},
                              {"data", offsetof(progs::SkBuff, data)},
                              {"truesize", offsetof(progs::SkBuff, truesize)}};
  return types.type(type).size == sizeof(progs::SkBuff) && std::ranges::all_of(places, [&](const Known& k) {
           const Place place = member(types, type, k.name);
           return place.type != 0 && place.bit_offset == k.offset * 8;
         });
}

/// A field of progs::kernel_field_rows that holds these bytes.
std::optional<KernelField> kept_field(const btf::Btf& types, u32 type, u32 off, u32 size) {
  for (const progs::KernelFieldRow& row : progs::kernel_field_rows) {
    const u32 structure = as_struct(types, type, row.structure);
    if (structure == 0) continue;
    const Place place = member_by_path(types, structure, row.path);
    const u32 begin = place.bit_offset / 8;
    if (place.type == 0 || place.bitfield_size != 0 || off < begin || off + size > begin + row.size ||
        types.size_of(place.type).value_or(0) != row.size)
      continue;
    return KernelField{How::moved, static_cast<s16>(row.offset + off - begin)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<KernelField> kernel_field(const btf::Btf& types, u32 type, s32 off, u32 size) {
  if (off < 0) return std::nullopt;
  const auto at = static_cast<u32>(off);
  if (types.name(type) == "sk_buff" && at + size <= sizeof(progs::SkBuff) && is_our_sk_buff(types, type))
    return KernelField{};
  const u32 map = as_struct(types, type, "bpf_map");
  return map != 0 ? bpf_map_field(types, map, at, size) : kept_field(types, type, at, size);
}

Patch kernel_load(const Source& source, const isa::Insn& insn, const verifier::InsnFacts& facts) {
  if (facts.kernel_type == 0 || source.kernel_types == nullptr) return {};
  const auto field =
      kernel_field(*source.kernel_types, facts.kernel_type, facts.kernel_off, isa::bytes_of_size(insn.code));
  if (!field || field->how == How::as_it_stands) return {};
  if (field->how == How::zero) return {mov_imm(insn.dst, 0)};
  // The pointer may stand inside the struct: from there the field is as far as it was.
  isa::Insn access = insn;
  access.off = static_cast<s16>(insn.off + field->offset - facts.kernel_off);
  return {access};
}

}  // namespace skep::fixup
