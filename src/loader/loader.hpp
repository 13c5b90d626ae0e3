// Bringing an ObjectSpec to a Kernel: externs and CO-RE resolved against this machine, maps created or
// reused, .rodata frozen, BTF and programs loaded, pins made; all or nothing.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "loader/object.hpp"

namespace skep::loader {

/// What the object is resolved against. Nothing here is read from the machine by itself;
/// machine_environment() does that, and what is absent makes only what needs it fail, by name.
struct Environment {
  const btf::Btf* kernel_btf = nullptr;  ///< for CO-RE, kfuncs, typed ksyms, attach targets
  std::optional<std::string> kconfig;    ///< the text of the kernel's .config
  u32 kernel_version = 0;                ///< KERNEL_VERSION(a, b, c)
  /// The kernel's symbols as /proc/kallsyms has them, for typeless ksyms; empty: the Kernel is asked.
  std::function<std::string_view()> kallsyms;
  /// LINUX_HAS_SYSCALL_WRAPPER: libbpf finds that out by a kprobe, and says no where there are none.
  bool syscall_wrapper = true;
};

/// Replaces map `index` of the object (`prog load ... map idx N ...`) by an existing one.
struct MapReuse {
  u32 index = 0;
  int map_fd = -1;  ///< stays the caller's
};

/// One BPF_PROG_LOAD of a program and what came of it.
struct Attempt {
  std::string_view program;
  int code = 0;         ///< 0: loaded; else the errno
  std::string message;  ///< the kernel's own sentence, if any
  std::string log;
  u64 nanoseconds = 0;
};

struct LoadOptions {
  std::optional<ProgType> type;  ///< `type TYPE`: of every program
  AttachType attach{};           ///< with `type`
  std::vector<MapReuse> reuse;
  u32 log_level = 0;                       ///< of the first attempt; -d asks for 1+2+4
  u32 ifindex = 0;                         ///< offload device of maps and programs
  u32 xdp_meta_ifindex = 0;                ///< `xdpmeta_dev`: of XDP programs, with BPF_F_XDP_DEV_BOUND_ONLY
  std::string pin_root = "/sys/fs/bpf";    ///< of LIBBPF_PIN_BY_NAME maps
  std::string pin_first_program;           ///< `load`: the path of the first program; empty: none
  std::string pin_programs_dir;            ///< `loadall`: DIR/<program name> each; empty: none
  std::string pin_maps_dir;                ///< `pinmaps DIR`: every map; empty: none
  const btf::Btf* core_btf = nullptr;      ///< `kernel_btf FILE`: for CO-RE instead of the environment's
  std::optional<Environment> environment;  ///< default: this machine's
  Diagnostics* diagnostics = nullptr;
  /// What freplace and fentry programs of the object are for: a loaded program and its BTF, where their
  /// section's function is looked for.
  int attach_program = -1;
  const btf::Btf* attach_btf = nullptr;
  std::optional<u32> only_program;      ///< index into ObjectSpec::programs: load it and no other
  bool ignore_pins = false;             ///< LIBBPF_PIN_BY_NAME maps are made anew and not pinned
  u32 max_log_bytes = UINT32_MAX >> 2;  ///< a longer log is not asked for
  /// Sees each program's load; a refused one is then not tried again for its log.
  std::function<void(const Attempt&)> on_attempt;
};

struct LoadedProgram {
  std::string name;
  std::string section;
  ProgType type{};
  Handle handle;
};
struct LoadedMap {
  std::string name;
  Handle handle;
};
struct LoadedObject {
  std::vector<LoadedProgram> programs;  ///< those that are loaded automatically, in order
  std::vector<LoadedMap> maps;          ///< in ObjectSpec::maps' order
  Handle btf;
};

/// Which step failed, in the words the tools print after libbpf's own messages ("failed to load object file",
/// "failed to pin program xdp", ...), as Error::what; the details went to the diagnostics. On failure no
/// descriptor stays open and no pin of this call stays behind.
Result<LoadedObject> load(const ObjectSpec& spec, Kernel& kernel, const LoadOptions& options = {});

/// Reads /sys/kernel/btf/vmlinux (kept in `btf`), /boot/config-* or /proc/config.gz, uname(2), as far as
/// there.
struct MachineEnvironment {
  std::unique_ptr<btf::Btf> btf;
  Environment environment;
};
/// `own_kernel`: for skep's own kernel, which needs no machine that has BTF: then it is what skep carries.
MachineEnvironment machine_environment(const ObjectSpec& needs, bool own_kernel = false);

}  // namespace skep::loader
