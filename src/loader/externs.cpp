// Externs: the symbols that .kconfig and .ksyms leave to the loader. Here they are only described; load()
// resolves them.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "loader/reader.hpp"

namespace skep::loader {

namespace {

/// Alignment of the scalars and arrays of them that .kconfig externs can be.
u32 alignment(const btf::Btf& btf, u32 id) {
  const btf::Type& t = btf.type(btf.skip_modifiers(id));
  if (t.kind == btf::Kind::array) return btf.type(btf.skip_modifiers(t.type)).size;
  return std::min(8u, t.size);
}

}  // namespace

/// The extern VARs and FUNCs of the object's BTF by name, and the section each one stands in.
struct Reader::ExternTypes {
  explicit ExternTypes(const btf::Btf& btf) {
    for (u32 id = 1; id <= btf.type_count(); ++id) {
      const btf::Type& t = btf.type(id);
      bool named = t.kind == btf::Kind::var || t.kind == btf::Kind::func;
      if (named && t.linkage == btf::linkage_extern) by_name.emplace(btf.string(t.name_off), id);
      if (t.kind != btf::Kind::datasec) continue;
      for (const btf::Entry& entry : btf.entries(t)) section.emplace(entry.type, btf.string(t.name_off));
    }
  }
  std::map<std::string_view, u32> by_name;
  std::map<u32, std::string_view> section;
};

KconfigType Reader::kconfig_type(u32 type_id, bool& is_signed) const {
  const btf::Type& t = spec_.btf->type(spec_.btf->skip_modifiers(type_id));
  is_signed = false;
  if (t.kind == btf::Kind::int_) {
    if (t.int_encoding == btf::int_bool) return t.size == 1 ? KconfigType::boolean : KconfigType::none;
    is_signed = t.int_encoding == btf::int_signed;
    if (t.size == 1) return KconfigType::character;
    return t.size == 2 || t.size == 4 || t.size == 8 ? KconfigType::integer : KconfigType::none;
  }
  if (btf::is_any_enum(t.kind)) {
    bool fits = t.size == 4 || t.kind == btf::Kind::enum64;
    return fits && spec_.btf->string(t.name_off) == "libbpf_tristate" ? KconfigType::tristate
                                                                      : KconfigType::none;
  }
  if (t.kind == btf::Kind::array && t.nelems != 0) {
    const btf::Type& elem = spec_.btf->type(spec_.btf->skip_modifiers(t.type));
    bool character = elem.kind == btf::Kind::int_ && elem.size == 1 && elem.int_encoding != btf::int_bool;
    if (character) return KconfigType::char_array;
  }
  return KconfigType::none;
}

Result<Extern> Reader::describe_extern(u32 number, const ExternTypes& types) {
  const Symbol& symbol = elf_.symbols()[number];
  const btf::Btf& btf = *spec_.btf;
  Extern ext;
  ext.name = symbol.name;
  ext.weak = symbol.binding == STB_WEAK;
  auto known = types.by_name.find(symbol.name);
  if (known == types.by_name.end())
    return fail(ENOENT, fmt::format("failed to find BTF for extern '{}'", symbol.name));
  ext.btf_id = known->second;
  const btf::Type& t = btf.type(ext.btf_id);
  auto placed = types.section.find(ext.btf_id);
  std::string_view section = placed == types.section.end() ? std::string_view() : placed->second;
  if (section == ".ksyms") {
    ext.kind = t.kind == btf::Kind::func ? ExternKind::ksym_func : ExternKind::ksym_var;
    ext.type_id = t.kind == btf::Kind::func ? t.type : btf.skip_modifiers(t.type);
    return ext;
  }
  if (section != ".kconfig") {
    if (section.empty())
      return fail(ENOENT, fmt::format("failed to find BTF section of extern '{}'", ext.name));
    return fail(ENOTSUP, fmt::format("unrecognized extern section '{}'", section));
  }
  if (t.kind == btf::Kind::func)
    return fail(ENOTSUP, fmt::format("extern function {} is unsupported under .kconfig section", ext.name));
  ext.kind = ExternKind::kconfig;
  ext.config_type = kconfig_type(t.type, ext.is_signed);
  if (ext.config_type == KconfigType::none)
    return fail(ENOTSUP, fmt::format("extern (kcfg) '{}': type is unsupported", ext.name));
  u64 size = TRY(btf.size_of(t.type));
  if (size == 0 || size > 1u << 20)
    return fail(EINVAL, fmt::format("extern (kcfg) '{}': size {} is unsupported", ext.name, size));
  ext.size = static_cast<u32>(size);
  ext.align = alignment(btf, t.type);
  return ext;
}

/// libbpf's order: by alignment downward, size upward, name.
void Reader::place_kconfig_externs() {
  u32 end = 0;
  for (Extern& ext : spec_.externs) {
    if (ext.kind != ExternKind::kconfig) continue;
    ext.offset = (end + ext.align - 1) / ext.align * ext.align;
    end = ext.offset + ext.size;
    say(Level::debug, fmt::format("extern (kcfg) '{}': off {}", ext.name, ext.offset));
  }
}

Result<void> Reader::collect_externs() {
  say(Level::debug, fmt::format("looking for externs among {} symbols...", elf_.symbols().size()));
  struct Found {
    Extern ext;
    u32 symbol;
  };
  std::vector<Found> found;
  std::optional<ExternTypes> types;
  if (spec_.btf) types.emplace(*spec_.btf);
  for (u32 i = 0; spec_.btf && i < elf_.symbols().size(); ++i) {
    const Symbol& symbol = elf_.symbols()[i];
    if (!is_extern(symbol) || symbol.name.empty()) continue;
    found.push_back({TRY(describe_extern(i, *types)), i});
  }
  say(Level::debug, fmt::format("collected {} externs total", found.size()));
  std::sort(found.begin(), found.end(), [](const Found& left, const Found& right) {
    const Extern &a = left.ext, &b = right.ext;
    bool ak = a.kind != ExternKind::kconfig, bk = b.kind != ExternKind::kconfig;
    if (ak != bk) return bk;
    if (!ak && a.align != b.align) return a.align > b.align;
    if (!ak && a.size != b.size) return a.size < b.size;
    return a.name < b.name;
  });
  for (Found& f : found) {
    extern_of_symbol_[f.symbol] = static_cast<u32>(spec_.externs.size());
    spec_.externs.push_back(std::move(f.ext));
  }
  for (u32 i = 0; i < spec_.externs.size(); ++i) extern_by_name_.emplace(spec_.externs[i].name, i);
  place_kconfig_externs();
  return {};
}

const Extern* Reader::find_extern(std::string_view name) const {
  auto found = extern_by_name_.find(name);
  return found == extern_by_name_.end() ? nullptr : &spec_.externs[found->second];
}

Result<void> Reader::edit_kconfig_datasec(BtfEdit& edit, u32 datasec) {
  const btf::Btf& btf = *spec_.btf;
  u32 end = 0;
  std::vector<BtfEdit::Variable> variables;
  for (const btf::Entry& entry : btf.entries(btf.type(datasec))) {
    const Extern* ext = find_extern(btf.name(entry.type));
    if (ext == nullptr)
      return fail(ESRCH,
                  fmt::format("failed to find extern definition for BTF var '{}'", btf.name(entry.type)));
    if (btf.type(entry.type).kind != btf::Kind::var)
      return fail(EINVAL, fmt::format(".BTF: .kconfig holds '{}', which is no variable", ext->name));
    edit.set_var_linkage(entry.type, btf::linkage_global);
    variables.push_back({entry.type, ext->offset, entry.size});
    end = std::max(end, ext->offset + ext->size);
  }
  edit.set_size_or_type(datasec, end);
  edit.set_variables(datasec, std::move(variables));
  return {};
}

/// Every ksym becomes a 4-byte variable, and functions lose their place to a dummy one, since a kernel takes
/// no extern in a DATASEC.
Result<void> Reader::edit_ksyms_datasec(BtfEdit& edit, u32 datasec) {
  const btf::Btf& btf = *spec_.btf;
  u32 int_id = 0;
  for (u32 id = 1; id <= btf.type_count() && int_id == 0; ++id) {
    const btf::Type& t = btf.type(id);
    if (t.kind == btf::Kind::int_ && t.int_bits == 32) int_id = id;
  }
  if (int_id == 0) return fail(ENOTSUP, ".BTF: .ksyms needs a 32-bit integer type");
  u32 dummy = 0;
  std::vector<BtfEdit::Variable> variables;
  for (const btf::Entry& entry : btf.entries(btf.type(datasec))) {
    const btf::Type& t = btf.type(entry.type);
    std::string_view name = btf.string(t.name_off);
    if (find_extern(name) == nullptr)
      return fail(ESRCH, fmt::format("failed to find extern definition for BTF '{}'", name));
    u32 type = entry.type;
    if (t.kind == btf::Kind::func) {
      if (dummy == 0) dummy = TRY(edit.add_var("dummy_ksym", int_id, btf::linkage_global));
      type = dummy;
      edit.set_func_linkage(entry.type, btf::linkage_global);
      std::span<const btf::Entry> params = btf.entries(btf.type(t.type));
      for (u32 i = 0; i < params.size() && btf.type(t.type).kind == btf::Kind::func_proto; ++i) {
        if (params[i].type != 0 && params[i].name_off == 0) edit.set_param_name(t.type, i, edit.added_name());
      }
    } else if (t.kind == btf::Kind::var) {
      edit.set_var_linkage(entry.type, btf::linkage_global);
      edit.set_size_or_type(entry.type, int_id);
    } else {
      return fail(EINVAL,
                  fmt::format(".BTF: .ksyms holds '{}', which is neither variable nor function", name));
    }
    variables.push_back({type, static_cast<u32>(variables.size() * 4), 4});
  }
  edit.set_size_or_type(datasec, static_cast<u32>(variables.size() * 4));
  edit.set_variables(datasec, std::move(variables));
  return {};
}

}  // namespace skep::loader
