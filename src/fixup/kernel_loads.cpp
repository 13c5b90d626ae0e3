// See kernel_loads.hpp.
#include "fixup/kernel_loads.hpp"

#include <algorithm>

#include "fixup/rewrite.hpp"
#include "maps/facts_place.hpp"
#include "progs/sk_buff.hpp"

namespace skep::fixup {
namespace {

using How = KernelField::How;

const btf::Entry* member(const btf::Btf& types, u32 type, std::string_view name) {
  for (const btf::Entry& entry : types.entries(types.type(type)))
    if (types.string(entry.name_off) == name) return &entry;
  return nullptr;
}

/// struct bpf_map, or one of the structs that begin with it.
u32 as_bpf_map(const btf::Btf& types, u32 type) {
  for (int depth = 0; depth < 2; ++depth) {
    if (types.name(type) == "bpf_map") return type;
    const btf::Entry* first = member(types, type, "map");
    if (first == nullptr || first->bit_offset != 0) return 0;
    type = types.skip_modifiers(first->type);
  }
  return 0;
}

std::optional<KernelField> bpf_map_field(const btf::Btf& types, u32 type, u32 off, u32 size) {
  for (const maps::MapField& field : maps::map_fields) {
    const btf::Entry* entry = member(types, type, field.name);
    if (entry != nullptr && entry->bit_offset == off * 8 && field.size == size)
      return KernelField{How::moved, static_cast<s16>(field.offset)};
  }
  // The hash of the one program that may use the map (exclusive maps, which are not here).
  const btf::Entry* sha = member(types, type, "sha");
  if (sha == nullptr) return std::nullopt;
  const u32 begin = sha->bit_offset / 8;
  const u64 bytes = types.size_of(sha->type).value_or(0);
  if (off < begin || off + size > begin + bytes) return std::nullopt;
  return KernelField{How::zero};
}

/// The kernel's struct sk_buff is laid out as ours: its size and the places of members that lie far apart.
bool is_our_sk_buff(const btf::Btf& types, u32 type) {
  struct Place {
    std::string_view name;
    std::size_t offset;
  };
  constexpr Place places[] = {{"sk", offsetof(progs::SkBuff, sk)},
                              {"cb", offsetof(progs::SkBuff, cb)},
                              {"len", offsetof(progs::SkBuff, len)},
                              {"data_len", offsetof(progs::SkBuff, data_len)},
                              {"queue_mapping", offsetof(progs::SkBuff, queue_mapping)},
                              {"end", offsetof(progs::SkBuff, end)},
                              {"head", offsetof(progs::SkBuff, head)},
                              {"data", offsetof(progs::SkBuff, data)},
                              {"truesize", offsetof(progs::SkBuff, truesize)}};
  return types.type(type).size == sizeof(progs::SkBuff) && std::ranges::all_of(places, [&](const Place& p) {
           const btf::Entry* entry = member(types, type, p.name);
           return entry != nullptr && entry->bit_offset == p.offset * 8;
         });
}

}  // namespace

std::optional<KernelField> kernel_field(const btf::Btf& types, u32 type, s32 off, u32 size) {
  if (off < 0) return std::nullopt;
  const auto at = static_cast<u32>(off);
  if (types.name(type) == "sk_buff" && at + size <= sizeof(progs::SkBuff) && is_our_sk_buff(types, type))
    return KernelField{};
  const u32 map = as_bpf_map(types, type);
  return map != 0 ? bpf_map_field(types, map, at, size) : std::nullopt;
}

Patch kernel_load(const Source& source, const isa::Insn& insn, const verifier::InsnFacts& facts) {
  if (facts.kernel_type == 0 || source.kernel_types == nullptr) return {};
  const auto field =
      kernel_field(*source.kernel_types, facts.kernel_type, facts.kernel_off, isa::bytes_of_size(insn.code));
  if (!field || field->how == How::as_it_stands) return {};
  if (field->how == How::zero) return {mov_imm(insn.dst, 0)};
  // The pointer may stand inside the struct: from there the field is as far as it was.
  isa::Insn load = insn;
  load.off = static_cast<s16>(insn.off + field->offset - facts.kernel_off);
  return {load};
}

}  // namespace skep::fixup
