// Which types a relocation needs is bpftool's choice: along the path of a field its types and members; of a
// type that must exist, it and what it names, without members; of one that must match, all of it.
#include "loader/minimal_btf.hpp"

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/limits.hpp"
#include "btf/builder.hpp"
#include "loader/btf_ext.hpp"
#include "loader/elf_file.hpp"

namespace skep::loader {

Result<void> MinimalBtf::add_object(const std::string& path) {
  const std::string text = TRY(read_file(path, limits::max_object_bytes));
  const ElfFile elf = TRY(ElfFile::open_any(bytes_of(text), path));
  const Section* types = elf.find(".BTF");
  if (types == nullptr || types->data.empty())
    return fail(ENODATA, fmt::format("{} has no .BTF section", path));
  const auto local =
      TRY(btf::Btf::parse({types->data.begin(), types->data.end()}, nullptr, btf::Checks::structure));
  const Section* section = elf.find(".BTF.ext");
  if (section == nullptr) return fail(EINVAL, fmt::format("{} has no .BTF.ext section", path));
  const BtfExt ext = TRY(BtfExt::parse(section->data, local));
  CoreTarget target(local, &kernel_);
  for (const auto& [name, records] : ext.core_relos.sections) {
    for (std::size_t at = 0; at < records.size(); at += ext.core_relos.record_size) {
      const std::byte* record = records.data() + at;
      CoreRelocation relocation;
      relocation.type_id = load<u32>(record + 4);
      relocation.access = local.string(load<u32>(record + 8));
      relocation.kind = load<u32>(record + 12);
      const auto found = TRY(target.find(relocation));
      if (found) TRY(add(static_cast<CoreKind>(relocation.kind), *found));
    }
  }
  return {};
}

Result<void> MinimalBtf::add(CoreKind kind, const CoreSpec& found) {
  if (is_field_kind(kind)) return add_path(found);
  if (kind == CoreKind::type_matches) {
    use_all(found.root);
    return {};
  }
  return use(found.root, is_type_kind(kind));
}

Result<void> MinimalBtf::add_path(const CoreSpec& found) {
  u32 id = found.root;
  TRY(use(id, false));
  for (std::size_t i = 1; i < found.raw.size(); ++i) {
    id = kernel_.skip_modifiers(id);
    const btf::Type& type = kernel_.type(id);
    if (type.kind == btf::Kind::array) {
      id = type.type;  // in use with the array
      continue;
    }
    if (!btf::is_composite(type.kind) || found.raw[i] >= type.entry_count)
      return fail(EINVAL, fmt::format("type [{}] of kind {} has no parts", id, btf::kind_name(type.kind)));
    members_.insert({id, found.raw[i]});
    id = kernel_.entries(type)[found.raw[i]].type;
    TRY(use(id, false));
  }
  return {};
}

/// The type, and what it cannot be said without.
Result<void> MinimalBtf::use(u32 id, bool follow_pointers, u32 depth) {
  if (depth > limits::btf_max_depth * 4) return fail(E2BIG, "types nest too deep");
  while (id != 0) {
    const bool known = used_[id];
    used_[id] = true;
    const btf::Type& type = kernel_.type(id);
    switch (type.kind) {
      case btf::Kind::ptr:
        if (!follow_pointers || known) return {};
        break;
      case btf::Kind::const_:
      case btf::Kind::volatile_:
      case btf::Kind::restrict_:
      case btf::Kind::typedef_:
      case btf::Kind::type_tag:
        break;
      case btf::Kind::array:
        TRY(use(type.index_type, follow_pointers, depth + 1));
        break;
      case btf::Kind::func_proto:
        if (known) return {};
        for (const btf::Entry& parameter : kernel_.entries(type))
          TRY(use(parameter.type, follow_pointers, depth + 1));
        break;
      default:
        return {};
    }
    if (++depth > limits::btf_max_depth * 4) return fail(E2BIG, "types nest too deep");
    id = type.type;
  }
  return {};
}

/// The type with all that it consists of; behind a pointer structs and unions need their names only.
void MinimalBtf::use_all(u32 root) {
  std::vector<std::pair<u32, bool>> open{{root, false}};
  while (!open.empty()) {
    const auto [id, behind_pointer] = open.back();
    open.pop_back();
    if (id == 0 || !whole_.insert({id, behind_pointer}).second) continue;
    used_[id] = true;
    const btf::Type& type = kernel_.type(id);
    switch (type.kind) {
      case btf::Kind::struct_:
      case btf::Kind::union_:
        if (behind_pointer) break;
        for (u32 i = 0; i < type.entry_count; ++i) {
          members_.insert({id, i});
          open.emplace_back(kernel_.entries(type)[i].type, false);
        }
        break;
      case btf::Kind::ptr:
        open.emplace_back(type.type, true);
        break;
      case btf::Kind::array:
        open.emplace_back(type.index_type, behind_pointer);
        open.emplace_back(type.type, behind_pointer);
        break;
      case btf::Kind::func_proto:
        for (const btf::Entry& parameter : kernel_.entries(type))
          open.emplace_back(parameter.type, behind_pointer);
        open.emplace_back(type.type, behind_pointer);
        break;
      default:
        if (btf::is_modifier(type.kind)) open.emplace_back(type.type, behind_pointer);
        break;
    }
  }
}

Result<std::vector<std::byte>> MinimalBtf::bytes() const {
  btf::Builder out;
  std::vector<u32> now(used_.size());
  for (u32 id = 1; id < used_.size(); ++id) {
    if (!used_[id]) continue;
    btf::BuiltType built = out.copy_of(kernel_, id);
    if (btf::is_composite(built.type.kind)) {
      std::vector<btf::Entry> kept;
      built.type.kind_flag = false;
      for (u32 i = 0; i < built.entries.size(); ++i) {
        if (!members_.contains({id, i})) continue;
        kept.push_back(built.entries[i]);
        built.type.kind_flag = built.type.kind_flag || built.entries[i].bitfield_size != 0;
      }
      built.entries = std::move(kept);
    }
    now[id] = out.add(std::move(built));
  }
  for (u32 id = 1; id <= out.type_count(); ++id)
    btf::each_reference(out.type(id), [&](u32& reference) { reference = now[reference]; });
  return out.bytes();
}

}  // namespace skep::loader
