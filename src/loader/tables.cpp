// Tables of kernel functions: variables of the sections .struct_ops, whose members that are pointers to
// functions say by their relocations which program is which function of which of the kernel's structs.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "btf/facts.hpp"
#include "loader/core_spec.hpp"
#include "loader/loading.hpp"
#include "loader/reader.hpp"

namespace skep::loader {

bool is_table_section(std::string_view name) {
  constexpr std::array<std::string_view, 4> names{".struct_ops", ".struct_ops.link", "?.struct_ops",
                                                  "?.struct_ops.link"};
  return std::ranges::find(names, name) != names.end();
}

Result<void> Reader::collect_table_relocations(const Section& section) {
  const Section& table = *elf_.section(section.info);
  const u32 datasec = spec_.btf ? spec_.btf->find(btf::Kind::datasec, table.name) : 0;
  if (datasec == 0)
    return fail(EINVAL, fmt::format("struct_ops reloc {}: no BTF of the section", table.name));
  const std::vector<Rel> relocations = TRY(elf_.relocations(section));
  for (const Rel& rel : relocations) TRY(table_relocation(datasec, rel));
  return {};
}

Result<void> Reader::table_relocation(u32 datasec, const Rel& rel) {
  const btf::Btf& btf = *spec_.btf;
  const auto wrong = [&](const std::string& what) {
    return fail(EINVAL, fmt::format("struct_ops reloc at {:#x}: {}", rel.offset, what));
  };
  const auto variables = btf.entries(btf.type(datasec));
  const auto variable = std::ranges::find_if(variables, [&](const btf::Entry& entry) {
    return rel.offset >= entry.offset && rel.offset - entry.offset < entry.size;
  });
  if (variable == variables.end()) return wrong("no variable is there");
  const btf::Type& structure = btf.type(btf.skip_modifiers(btf.type(variable->type).type));
  if (structure.kind != btf::Kind::struct_) return wrong("the variable is no struct");
  const auto members = btf.entries(structure);
  const u64 bit = (rel.offset - variable->offset) * 8;
  const auto member = std::ranges::find_if(members, [&](const btf::Entry& m) { return m.bit_offset == bit; });
  if (member == members.end()) return wrong("no member is there");
  const Symbol& symbol = elf_.symbols()[rel.symbol];
  std::optional<u32> function;
  if (symbol.section != text_section_ && symbol.value % sizeof(isa::Insn) == 0)
    function = function_at(symbol.section, symbol.value / sizeof(isa::Insn));
  if (!function || u64{functions_[*function].first} * sizeof(isa::Insn) != symbol.value)
    return wrong(fmt::format("cannot find prog at shdr_idx {} to relocate func ptr {}", symbol.section,
                             btf.string(member->name_off)));
  // The first use of a program counts: a program is one function of one struct.
  table_functions_.emplace(*function, TableFunction{std::string(btf.string(structure.name_off)),
                                                    std::string(btf.string(member->name_off))});
  return {};
}

/// Its place in the kernel's struct of that name, where members may be others than the object knows.
Result<void> Loading::find_table_place(const ProgramDef& def, ProgramSpec& spec) {
  if (def.table.empty())
    return failed(EINVAL, fmt::format("prog '{}': SEC(\"struct_ops\") program isn't referenced anywhere, "
                                      "did you forget to use it?",
                                      def.name));
  const std::string name(essential_name(def.table));
  const btf::Btf* types = environment_->kernel_btf;
  const u32 id = types != nullptr ? types->find(btf::Kind::struct_, name) : 0;
  if (id == 0 || types->find(btf::Kind::struct_, "bpf_struct_ops_" + name) == 0)
    return failed(ESRCH, fmt::format("struct_ops init_kern: struct {}{} is not found in kernel BTF",
                                     id == 0 ? "" : "bpf_struct_ops_", name));
  const auto members = types->entries(types->type(id));
  const auto member = std::ranges::find_if(
      members, [&](const btf::Entry& m) { return types->string(m.name_off) == def.table_member; });
  if (member == members.end())
    return failed(ENOTSUP, fmt::format("struct_ops init_kern {}: Cannot find member {} in kernel's BTF", name,
                                       def.table_member));
  spec.attach_btf_id = id;
  spec.expected_attach_type = static_cast<AttachType>(member - members.begin());
  return {};
}

}  // namespace skep::loader
