// Programs on the kernel: instructions patched with what is now known, then loaded; on refusal once more with
// a log, which is shown.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "loader/core.hpp"
#include "loader/loading.hpp"
#include "loader/map_names.hpp"

namespace skep::loader {

namespace {
constexpr u32 kLogBytes = UINT32_MAX >> 8;  // libbpf's BPF_LOG_BUF_SIZE
constexpr s32 kPoisonedKfunc =
    2002000000;  // plus the extern's number; libbpf's constants, by which logs are explained
constexpr s32 kPoisonedCore = 195896080;
constexpr u8 kCallCode = isa::op::JMP | isa::op::CALL;

bool attaches_to_programs(const ProgramDef& def) {
  return def.type == ProgType::ext ||
         (def.type == ProgType::tracing && (def.expected_attach_type == AttachType::trace_fentry ||
                                            def.expected_attach_type == AttachType::trace_fexit));
}
}  // namespace

Result<void> Loading::prepare_program(Program& program) {
  const ProgramDef& def = *program.def;
  ProgramSpec& spec = program.spec;
  spec.type = options_.type.value_or(def.type);
  spec.expected_attach_type = options_.type ? options_.attach : def.expected_attach_type;
  spec.name = kernel_name(def.name);
  spec.license = spec_.license;
  // A type that is not the section's makes the section's flags void.
  spec.flags = spec.type == def.type ? def.flags : 0;
  spec.kern_version = spec_.kern_version != 0 ? spec_.kern_version : environment_->kernel_version;
  spec.ifindex = options_.ifindex;
  if (options_.xdp_meta_ifindex != 0 && spec.type == ProgType::xdp) {
    spec.ifindex = options_.xdp_meta_ifindex;
    spec.flags |= uapi::F_XDP_DEV_BOUND_ONLY;
  }
  if (out_.btf) {
    spec.btf_fd = out_.btf.fd();
    spec.func_info = def.func_info;
    spec.line_info = def.line_info;
  }
  if (spec.type == ProgType::unspec)
    return failed(EINVAL, fmt::format("prog '{}': missing BPF prog type, check ELF section name '{}'",
                                      def.name, def.section));
  if (spec.type == ProgType::struct_ops) TRY(find_table_place(def, spec));
  if (def.attach_needs_btf && spec.type == def.type) TRY(find_attach_target(def, spec));
  return patch(program);
}

/// BTF attach targets are functions or types of the kernel, under a name made from the section's.
Result<void> Loading::find_attach_target(const ProgramDef& def, ProgramSpec& spec) {
  auto not_found = [&](const char* why) {
    return failed(ESRCH, fmt::format("prog '{}': failed to find kernel BTF type ID of '{}': {}", def.name,
                                     def.attach_target, why));
  };
  if (def.attach_target.empty())
    return failed(EINVAL, fmt::format("prog '{}': no BTF-based attach target is specified in section '{}'",
                                      def.name, def.section));
  if (options_.attach_btf != nullptr && attaches_to_programs(def)) {
    spec.attach_prog_fd = options_.attach_program;
    spec.attach_btf_id = options_.attach_btf->find(btf::Kind::func, def.attach_target);
    if (spec.attach_btf_id == 0) return not_found("-ESRCH");
    return {};
  }
  if (def.type == ProgType::ext)
    return failed(
        ENOTSUP,
        fmt::format("prog '{}': freplace programs need a program to replace, which cannot be named here",
                    def.name));
  if (environment_->kernel_btf == nullptr) return not_found("no kernel BTF");
  std::string_view name = def.attach_target;
  if (std::size_t colon = name.find(':'); colon != std::string_view::npos) {
    if (name.substr(0, colon) != "vmlinux") return not_found("module BTF is not supported");
    name.remove_prefix(colon + 1);
  }
  const char* prefix = "";
  btf::Kind kind = btf::Kind::func;
  switch (def.expected_attach_type) {
    case AttachType::trace_raw_tp:
      prefix = "btf_trace_";
      kind = btf::Kind::typedef_;
      break;
    case AttachType::lsm_mac:
    case AttachType::lsm_cgroup:
      prefix = "bpf_lsm_";
      break;
    case AttachType::trace_iter:
      prefix = "bpf_iter_";
      break;
    default:
      break;
  }
  spec.attach_btf_id = environment_->kernel_btf->find(kind, prefix + std::string(name));
  if (spec.attach_btf_id == 0) return not_found("-ESRCH");
  return {};
}

Result<void> Loading::patch(Program& program) {
  std::vector<isa::Insn>& insns = program.spec.insns;
  for (const Reference& ref : program.def->references) {
    isa::Insn& insn = insns[ref.insn];
    auto wide = [&](u8 src, u32 low, u32 high) {
      insn.src = src & 0xf;
      insn.imm = static_cast<s32>(low);
      insns[ref.insn + 1].imm = static_cast<s32>(high);
    };
    switch (ref.kind) {
      case RefKind::map: {
        insn.src = uapi::PSEUDO_MAP_FD;
        insn.imm = maps_[ref.target].fd;
        break;
      }
      case RefKind::map_value:
        wide(uapi::PSEUDO_MAP_VALUE, static_cast<u32>(maps_[ref.target].fd), ref.addend);
        break;
      case RefKind::extern_var: {
        const Extern& ext = spec_.externs[ref.target];
        const ExternValue& value = externs_[ref.target];
        if (ext.kind == ExternKind::kconfig)
          wide(uapi::PSEUDO_MAP_VALUE, static_cast<u32>(maps_[*spec_.kconfig_map].fd), ext.offset);
        else if (value.btf_id != 0)
          wide(uapi::PSEUDO_BTF_ID, value.btf_id, 0);
        else
          wide(insn.src, static_cast<u32>(value.address), static_cast<u32>(value.address >> 32));
        break;
      }
      case RefKind::extern_call:
        if (externs_[ref.target].btf_id != 0) {
          insn.src = uapi::PSEUDO_KFUNC_CALL;
          insn.imm = static_cast<s32>(externs_[ref.target].btf_id);
          insn.off = 0;
        } else {  // weak: fine as long as it is dead code
          insn = {.code = kCallCode, .imm = kPoisonedKfunc + static_cast<s32>(ref.target)};
        }
        break;
    }
  }
  return {};
}

Result<void> Loading::load_program(Program& program) {
  const std::string& name = program.def->name;
  LogRequest want{.level = options_.log_level, .size = options_.log_level == 0 ? 0 : kLogBytes};
  for (;;) {
    Log log;
    const auto begin = std::chrono::steady_clock::now();
    Result<Handle> loaded = kernel_.prog_load(program.spec, want, &log);
    if (options_.on_attempt) {
      const auto took = std::chrono::steady_clock::now() - begin;
      options_.on_attempt({name, loaded ? 0 : loaded.error().code, loaded ? "" : loaded.error().what,
                           log.text, static_cast<u64>(std::chrono::nanoseconds(took).count())});
    }
    auto shown = [&] {
      return fmt::format("prog '{}': -- BEGIN PROG LOAD LOG --\n{}-- END PROG LOAD LOG --", name, log.text);
    };
    if (loaded) {
      program.handle = std::move(*loaded);
      if (want.level != 0) say(Level::debug, shown());
      break;
    }
    if (want.level == 0 && !options_.on_attempt) {
      want = {.level = 1, .size = kLogBytes};
      continue;
    }
    if (loaded.error().code == ENOSPC && want.size < options_.max_log_bytes) {
      want.size = std::min(options_.max_log_bytes, std::max(want.size * 2, log.true_size));
      continue;
    }
    explain_log(program, log.text);
    say(Level::warning,
        fmt::format("prog '{}': BPF program load failed: {}", name, errno_name(loaded.error().code)));
    if (!log.text.empty())
      say(Level::warning, shown());
    else if (!loaded.error().what.empty())
      say(Level::warning, fmt::format("prog '{}': {}", name, loaded.error().what));
    return fail(loaded.error().code, loaded.error().what);
  }
  // Programs keep the object's read-only data, referred to or not, so that tools can show it.
  for (u32 i = 0; i < maps_.size(); ++i) {
    if (spec_.maps[i].origin != MapOrigin::rodata) continue;
    Result<void> bound = kernel_.prog_bind_map(program.handle.fd(), maps_[i].fd);
    if (!bound)
      say(Level::warning, fmt::format("prog '{}': failed to bind map '{}': {}", name, spec_.maps[i].section,
                                      errno_name(bound.error().code)));
  }
  return {};
}

/// Where the refusal is of an instruction that the loader made invalid on purpose, the log's last lines say
/// so in the source's terms ("failed to resolve CO-RE relocation ...").
void Loading::explain_log(const Program& program, std::string& log) const {
  constexpr std::string_view key = "invalid func unknown#";
  std::size_t line = log.rfind(key);
  if (line == std::string::npos || (line != 0 && log[line - 1] != '\n') ||
      std::count(log.begin() + static_cast<std::ptrdiff_t>(line), log.end(), '\n') > 10)
    return;
  long number = std::strtol(log.c_str() + line + key.size(), nullptr, 10);
  std::size_t before = line < 2 ? 0 : log.rfind('\n', line - 2) + 1;  // npos + 1 is 0
  long insn = std::strtol(log.c_str() + before, nullptr, 10);
  std::size_t end = std::min(log.size(), log.find('\n', line) + 1);
  std::string text;
  if (number == kPoisonedCore && program.poisoned.contains(static_cast<u32>(insn))) {
    for (const CoreRelocation& relocation : program.def->core_relocations) {
      if (relocation.insn == static_cast<u32>(insn))
        text = fmt::format("{}: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation {}\n", insn,
                           CoreTarget(*spec_.btf, nullptr).describe(relocation));
    }
  } else if (number >= kPoisonedKfunc &&
             static_cast<std::size_t>(number - kPoisonedKfunc) < spec_.externs.size()) {
    text = fmt::format("{}: <invalid kfunc call>\nkfunc '{}' is referenced but wasn't resolved\n", insn,
                       spec_.externs[static_cast<std::size_t>(number - kPoisonedKfunc)].name);
  }
  if (!text.empty()) log.replace(before, end - before, text);
}

}  // namespace skep::loader
