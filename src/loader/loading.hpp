// One load(): what its steps share. Each step is a file; whatever fails, destroying this undoes all of it.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "loader/errno_name.hpp"
#include "loader/loader.hpp"

namespace skep::loader {

/// Files and directories made under the pin directory, taken away again unless kept.
class Pins {
 public:
  explicit Pins(Kernel& kernel) : kernel_(kernel) {}
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;
  ~Pins();

  /// Pins, after making the directory that the path lies in if only that is missing.
  Result<void> pin(const Handle& handle, const std::string& path);
  Result<void> pin(int fd, ObjectKind kind, const std::string& path);
  void keep() { made_.clear(), directories_.clear(); }

 private:
  Result<std::string> real_path(const std::string& path);
  Kernel& kernel_;
  std::vector<std::string> made_, directories_;
};

/// What an extern turned out to be.
struct ExternValue {
  bool found = false;
  u64 address = 0;  ///< typeless ksyms
  u32 btf_id = 0;   ///< typed ksyms and functions, in the kernel's BTF
};

class Loading {
 public:
  Loading(const ObjectSpec& spec, Kernel& kernel, const LoadOptions& options)
      : spec_(spec), kernel_(kernel), options_(options), pins_(kernel) {}
  Result<LoadedObject> run();

 private:
  struct Map {
    int fd = -1;
    MapSpec spec;  ///< as created or found
    bool reused = false;
    std::string pin_path;
  };
  struct Program {
    const ProgramDef* def = nullptr;
    ProgramSpec spec;
    std::set<u32> poisoned;  ///< instructions whose CO-RE relocation found nothing
    Handle handle;
  };

  Result<void> load_object();
  Result<void> check_types();

  // resolve.cpp
  Result<void> resolve_externs();
  Result<void> resolve_virtual_kconfig(const Extern& ext, ExternValue& value);
  Result<void> resolve_typed_ksym(const Extern& ext, ExternValue& value);
  Result<void> take_address(std::string_view name, u64 address);
  Result<void> resolve_addresses();

  // load_maps.cpp
  Result<void> create_maps();
  Result<void> create_map(u32 index);
  Result<bool> reuse_pinned(u32 index);
  Result<Handle> create_on_kernel(const MapDef& def, MapSpec spec);
  Result<void> fill_internal(const MapDef& def, int fd);
  Result<void> fill_slots(u32 index);

  // load_programs.cpp
  Result<void> prepare_program(Program& program);
  Result<void> patch(Program& program);
  Result<void> find_attach_target(const ProgramDef& def, ProgramSpec& spec);
  Result<void> find_table_place(const ProgramDef& def, ProgramSpec& spec);  // tables.cpp
  Result<void> load_program(Program& program);
  void explain_log(const Program& program, std::string& log) const;

  // pins.cpp
  Result<void> pin_everything();

  void say(Level level, const std::string& text) const {
    if (options_.diagnostics != nullptr) options_.diagnostics->message(level, text);
  }
  /// Says why a step failed, in libbpf's place, and returns the failure.
  std::unexpected<Error> failed(int code, const std::string& text) const {
    say(Level::warning, text);
    return fail(code, text);
  }

  const ObjectSpec& spec_;
  Kernel& kernel_;
  const LoadOptions& options_;
  MachineEnvironment machine_;
  const Environment* environment_ = nullptr;
  std::vector<ExternValue> externs_;
  std::vector<std::byte> kconfig_;
  std::vector<Map> maps_;
  std::vector<Program> programs_;
  LoadedObject out_;
  Pins pins_;  // last: its destructor needs nothing of the others
};

}  // namespace skep::loader
