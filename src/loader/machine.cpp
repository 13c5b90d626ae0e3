// What of this machine an object can ask for: the kernel's version, configuration and BTF. Read only when
// needed.
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "base/fd.hpp"
#include "base/limits.hpp"
#include "btf/carried.hpp"
#include "loader/loader.hpp"

namespace skep::loader {

namespace {

constexpr const char* kVmlinux = "/sys/kernel/btf/vmlinux";
constexpr std::size_t kMaxConfig = 8u << 20;

u32 kernel_version(const utsname& name) {
  unsigned major = 0, minor = 0, patch = 0;
  if (std::sscanf(name.release, "%u.%u.%u", &major, &minor, &patch) < 2) return 0;
  return (major << 16) + (minor << 8) + std::min(patch, 255u);
}

std::optional<std::string> read_gzip(const char* path) {
  gzFile file = gzopen(path, "rb");
  if (file == nullptr) return std::nullopt;
  std::string text(kMaxConfig, '\0');
  int got = gzread(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  if (got <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  return text;
}

bool needs_kconfig(const ObjectSpec& spec) {
  return std::any_of(spec.externs.begin(), spec.externs.end(), [](const Extern& e) {
    return e.kind == ExternKind::kconfig && e.name.starts_with("CONFIG_");
  });
}

bool needs_btf(const ObjectSpec& spec) {
  bool typed = std::any_of(spec.externs.begin(), spec.externs.end(),
                           [](const Extern& e) { return e.kind != ExternKind::kconfig && e.type_id != 0; });
  return typed || std::any_of(spec.programs.begin(), spec.programs.end(), [](const ProgramDef& p) {
           return p.autoload && (p.attach_needs_btf || !p.core_relocations.empty());
         });
}

/// Read once, when first asked for.
std::function<std::string_view()> kallsyms() {
  struct Text {
    std::once_flag once;
    std::string text;
  };
  return [read = std::make_shared<Text>()]() -> std::string_view {
    std::call_once(read->once, [&] {
      if (Result<std::string> text = read_file("/proc/kallsyms"); text) read->text = *std::move(text);
    });
    return read->text;
  };
}

bool has_kprobes() {
  constexpr const char* places[] = {"/sys/bus/event_source/devices/kprobe/type",
                                    "/sys/kernel/debug/tracing/kprobe_events",
                                    "/sys/kernel/tracing/kprobe_events"};
  return std::ranges::any_of(places, [](const char* place) { return ::access(place, F_OK) == 0; });
}

}  // namespace

MachineEnvironment machine_environment(const ObjectSpec& needs, bool own_kernel) {
  MachineEnvironment machine;
  utsname name{};
  if (uname(&name) == 0) machine.environment.kernel_version = kernel_version(name);
  machine.environment.kallsyms = kallsyms();
  machine.environment.syscall_wrapper = has_kprobes();
  if (needs_kconfig(needs)) {
    // libbpf's places, in its order; gzopen() reads plain files too.
    machine.environment.kconfig = read_gzip((std::string("/boot/config-") + name.release).c_str());
    if (!machine.environment.kconfig) machine.environment.kconfig = read_gzip("/proc/config.gz");
  }
  if (!needs_btf(needs)) return machine;
  std::vector<std::byte> kernel_types;
  if (Result<std::string> text = read_file(kVmlinux, limits::btf_max_size); text) {
    ByteView bytes = bytes_of(*text);
    kernel_types.assign(bytes.begin(), bytes.end());
  } else if (own_kernel) {
    if (Result<std::vector<std::byte>> carried = btf::carried_kernel_btf(); carried)
      kernel_types = *std::move(carried);
  }
  if (kernel_types.empty()) return machine;
  Result<btf::Btf> parsed = btf::Btf::parse(std::move(kernel_types), nullptr, btf::Checks::structure);
  if (!parsed) return machine;
  machine.btf = std::make_unique<btf::Btf>(std::move(*parsed));
  machine.environment.kernel_btf = machine.btf.get();
  return machine;
}

}  // namespace skep::loader
