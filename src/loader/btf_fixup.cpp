// Completing the object's BTF: the compiler leaves sizes of data sections and offsets of their variables at
// 0, and says nothing of visibility; externs become variables that a kernel accepts.
#include <elf.h>
#include <fmt/format.h>

#include <set>

#include "loader/reader.hpp"

namespace skep::loader {

const Symbol* Reader::data_symbol(std::string_view name) const {
  auto found = data_symbols_.find(name);
  return found == data_symbols_.end() ? nullptr : found->second;
}

Result<void> Reader::edit_datasec(BtfEdit& edit, u32 id) {
  const btf::Btf& btf = *spec_.btf;
  const btf::Type& datasec = btf.type(id);
  std::string_view name = btf.string(datasec.name_off);
  if (name == ".kconfig") return edit_kconfig_datasec(edit, id);
  if (name == ".ksyms") return edit_ksyms_datasec(edit, id);
  bool fill = datasec.size == 0;  // a static linker has done it already
  if (fill) {
    const Section* section = elf_.find(name);
    if (section == nullptr || section->size == 0 || section->size > UINT32_MAX)
      return fail(ENOENT, fmt::format(".BTF: sec '{}': failed to determine size from ELF", name));
    edit.set_size_or_type(id, static_cast<u32>(section->size));
  }
  std::vector<BtfEdit::Variable> variables;
  for (const btf::Entry& entry : btf.entries(datasec)) {
    variables.push_back({entry.type, entry.offset, entry.size});
    const btf::Type& var = btf.type(entry.type);
    if (var.kind != btf::Kind::var)
      return fail(EINVAL, fmt::format(".BTF: sec '{}': unexpected non-VAR type found", name));
    if (var.linkage != btf::linkage_global) continue;
    std::string_view var_name = btf.string(var.name_off);
    const Symbol* symbol = data_symbol(var_name);
    if (symbol == nullptr)
      return fail(ENOENT,
                  fmt::format(".BTF: sec '{}': failed to find ELF symbol for VAR '{}'", name, var_name));
    if (fill) variables.back().offset = static_cast<u32>(symbol->value);
    // A hidden variable counts as static: no one outside is to see it, so its map need not be mmapable.
    if (symbol->visibility == STV_HIDDEN || symbol->visibility == STV_INTERNAL)
      edit.set_var_linkage(entry.type, btf::linkage_static);
  }
  edit.set_variables(id, std::move(variables));
  return {};
}

/// Hidden global functions are verified in their caller's context, as static ones are.
void Reader::edit_hidden_functions(BtfEdit& edit) {
  std::set<std::string_view> hidden;
  for (const Function& function : functions_) {
    if (function.global && function.hidden) hidden.insert(function.name);
  }
  for (u32 id = 1; id <= spec_.btf->type_count() && !hidden.empty(); ++id) {
    const btf::Type& t = spec_.btf->type(id);
    if (t.kind == btf::Kind::func && hidden.contains(spec_.btf->string(t.name_off)))
      edit.set_func_linkage(id, btf::linkage_static);
  }
}

Result<void> Reader::fix_btf() {
  if (!spec_.btf) return {};
  BtfEdit edit(*spec_.btf);
  for (u32 id = 1; id <= spec_.btf->type_count(); ++id) {
    if (spec_.btf->type(id).kind == btf::Kind::datasec) TRY(edit_datasec(edit, id));
  }
  edit_hidden_functions(edit);
  spec_.btf = TRY(with_context(std::move(edit).finish(), ".BTF after completion"));
  return {};
}

}  // namespace skep::loader
