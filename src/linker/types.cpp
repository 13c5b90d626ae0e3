// Type information: each object's BTF taken over, and what .BTF.ext says of its instructions.
#include <elf.h>
#include <fmt/format.h>

#include <set>

#include "linker/joining.hpp"

namespace skep::linker {

Result<void> Joining::take_types() {
  const loader::Section* section = elf_.find(".BTF");
  if (section == nullptr) return {};
  auto parsed =
      btf::Btf::parse({section->data.begin(), section->data.end()}, nullptr, btf::Checks::structure);
  if (!parsed)
    return fail(parsed.error().code,
                fmt::format("failed to parse .BTF from {}: {}", file_, parsed.error().what));
  btf_ = std::move(*parsed);
  if (const loader::Section* ext = elf_.find(".BTF.ext")) {
    auto read = loader::BtfExt::parse(ext->data, *btf_);
    if (!read)
      return fail(read.error().code,
                  fmt::format("failed to parse .BTF.ext from '{}': {}", file_, read.error().what));
    ext_ = std::move(*read);
    out_.has_ext = true;
  }
  out_.has_types = true;
  ids_ = out_.types.append(*btf_);
  index_types();
  return {};
}

void Joining::index_types() {
  std::set<u32> listed;
  for (u32 id = 1; id <= btf_->type_count(); ++id) {
    const btf::Type& section = btf_->type(id);
    if (section.kind != btf::Kind::datasec) continue;
    for (const btf::Entry& entry : btf_->entries(section)) {
      const btf::Type& type = btf_->type(entry.type);
      if (type.linkage == btf::linkage_static || !listed.insert(entry.type).second) continue;
      typed_[btf_->name(entry.type)].push_back({entry.type, btf_->name(id), entry.size});
    }
  }
  for (u32 id = 1; id <= btf_->type_count(); ++id) {
    const btf::Type& type = btf_->type(id);
    // Functions, and externs of which the compiler does not say where they are.
    if (type.kind != btf::Kind::func && type.kind != btf::Kind::var) continue;
    if (type.linkage == btf::linkage_static || listed.contains(id)) continue;
    typed_[btf_->name(id)].push_back({id, {}, 0});
  }
}

Result<void> Joining::take_statics() {
  Statics statics;
  for (const loader::Symbol& symbol : elf_.symbols())
    if (symbol.type == STT_OBJECT && symbol.binding == STB_LOCAL)
      statics.emplace(std::pair(symbol.section, std::string_view(symbol.name)), symbol.value);
  for (u32 id = 1; id <= btf_->type_count(); ++id) {
    const btf::Type& datasec = btf_->type(id);
    if (datasec.kind != btf::Kind::datasec || btf_->name(id) == ".extern") continue;
    OutSection& section = out_.sections[section_named(std::string(btf_->name(id)))];
    section.has_datasec = true;
    const std::optional<u32> from = source_named(btf_->name(id));
    if (from && !placed_[*from].section) continue;  // another object's stands for it
    for (const btf::Entry& entry : btf_->entries(datasec)) TRY(take_static(section, entry, from, statics));
  }
  return {};
}

Result<void> Joining::take_static(OutSection& section, const btf::Entry& entry, std::optional<u32> from,
                                  const Statics& statics) {
  const btf::Type& variable = btf_->type(entry.type);
  if (variable.kind != btf::Kind::var || variable.linkage != btf::linkage_static) return {};
  const std::string_view name = btf_->name(entry.type);
  const auto found = from ? statics.find({*from, name}) : statics.end();
  if (found == statics.end())
    return fail(ENOENT,
                fmt::format("failed to find symbol for variable '{}' in section '{}'", name, section.name));
  section.statics.push_back({ids_[entry.type], placed_[*from].offset + found->second, entry.size});
  return {};
}

Result<void> Joining::take_records() {
  TRY(take_records(func_info, ext_.func_info));
  TRY(take_records(line_info, ext_.line_info));
  return take_records(core_relos, ext_.core_relos);
}

Result<void> Joining::take_records(RecordKind kind, const loader::ExtInfo& info) {
  for (const auto& [name, records] : info.sections) {
    const std::optional<u32> from = source_named(name);
    if (!from) return fail(ENOENT, fmt::format("can't find section '{}' referenced from .BTF.ext", name));
    const Placed to = placed_[*from];
    if (!to.section) continue;
    OutRecords& out = out_.sections[*to.section].records[kind];
    if (out.record_size != 0 && out.record_size != info.record_size)
      return fail(EINVAL, fmt::format("incompatible .BTF.ext record sizes for section '{}'", name));
    out.record_size = info.record_size;
    std::size_t at = out.bytes.size();
    out.bytes.insert(out.bytes.end(), records.begin(), records.end());
    for (; at < out.bytes.size(); at += info.record_size) {
      std::byte* record = out.bytes.data() + at;
      const auto change = [&](u32 offset, auto&& to_new) {
        store(record + offset, to_new(load<u32>(record + offset)));
      };
      const auto type = [&](u32 id) { return id < ids_.size() ? ids_[id] : 0; };
      const auto text = [&](u32 offset) { return out_.types.add_string(btf_->string(offset)); };
      change(0, [&](u32 offset) { return offset + static_cast<u32>(to.offset); });
      if (kind == line_info) {
        change(4, text);
        change(8, text);
      } else {
        change(4, type);
        if (kind == core_relos) change(8, text);
      }
    }
  }
  return {};
}

}  // namespace skep::linker
