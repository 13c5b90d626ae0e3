// load(): the order of its steps is libbpf's bpf_object__load(), then bpftool's pinning.
#include <fmt/format.h>

#include "loader/core.hpp"
#include "loader/loading.hpp"
#include "loader/map_names.hpp"
#include "loader/sections.hpp"

namespace skep::loader {

std::string errno_name(int code) {
  if (code == kENOTSUPP) return "-ENOTSUPP";
  const char* name = strerrorname_np(code);
  return name == nullptr ? "-" + std::to_string(code) : "-" + std::string(name);
}

/// bpftool asks for each program's section before anything else, also of those that are not loaded
/// automatically.
Result<void> Loading::check_types() {
  if (options_.type || options_.only_program) return {};
  for (const ProgramDef& def : spec_.programs) {
    if (def.type != ProgType::unspec) continue;
    say(Level::warning, fmt::format("failed to guess program type from ELF section '{}'", def.section));
    say(Level::warning, "supported section(type) names are:" + supported_section_names());
    return fail(ESRCH);
  }
  return {};
}

Result<void> Loading::load_object() {
  if (!spec_.struct_ops_section.empty() && !options_.only_program)
    return failed(ENOTSUP,
                  fmt::format("elf: {}: struct_ops maps are not supported", spec_.struct_ops_section));
  TRY(resolve_externs());
  const btf::Btf none;
  CoreTarget core(spec_.btf ? *spec_.btf : none,
                  options_.core_btf != nullptr ? options_.core_btf : environment_->kernel_btf);
  for (std::size_t index = 0; index < spec_.programs.size(); ++index) {
    const ProgramDef& def = spec_.programs[index];
    if (options_.only_program ? index != *options_.only_program : !def.autoload) continue;
    Program program;
    program.def = &def;
    program.spec.insns = def.insns;
    for (const CoreRelocation& relocation : def.core_relocations) {
      Result<bool> applied = core.apply(program.spec.insns, relocation);
      if (!applied)
        return failed(applied.error().code, fmt::format("prog '{}': relo at insn #{}: {}", def.name,
                                                        relocation.insn, applied.error().what));
      if (!*applied) program.poisoned.insert(relocation.insn);
    }
    programs_.push_back(std::move(program));
  }
  if (spec_.btf) {
    Result<Handle> btf = kernel_.btf_load(spec_.btf->bytes());
    if (btf)
      out_.btf = std::move(*btf);
    else
      say(Level::warning, fmt::format("Error loading .BTF into kernel: {}. BTF is optional, ignoring.",
                                      errno_name(btf.error().code)));
  }
  TRY(create_maps());
  for (Program& program : programs_) {
    TRY(prepare_program(program));
    if (Result<void> loaded = load_program(program); !loaded)
      return failed(loaded.error().code, fmt::format("prog '{}': failed to load: {}", program.def->name,
                                                     errno_name(loaded.error().code)));
  }
  for (u32 i = 0; i < maps_.size(); ++i) {
    if (maps_[i].spec.type == MapType::prog_array && !maps_[i].reused) TRY(fill_slots(i));
  }
  return {};
}

Result<LoadedObject> Loading::run() {
  if (options_.environment) {
    environment_ = &*options_.environment;
  } else {
    machine_ = machine_environment(spec_, kernel_.kernel_name() != "linux");
    environment_ = &machine_.environment;
  }
  TRY(check_types());
  if (Result<void> loaded = load_object(); !loaded) {
    say(Level::warning, fmt::format("failed to load object '{}'", spec_.file));
    return fail(loaded.error().code, "failed to load object file");
  }
  TRY(pin_everything());
  for (Program& program : programs_)
    out_.programs.push_back(
        {program.def->name, program.def->section, program.spec.type, std::move(program.handle)});
  pins_.keep();
  return std::move(out_);
}

Result<LoadedObject> load(const ObjectSpec& spec, Kernel& kernel, const LoadOptions& options) {
  return Loading(spec, kernel, options).run();
}

}  // namespace skep::loader
