// A program as maps know it: what a prog_array's slots point at, and what devmap and cpumap entries name.
#pragma once
#include <memory>

#include "base/types.hpp"
#include "kernel/uapi.hpp"

namespace skep {
struct RunContext;
}

namespace skep::maps {

struct ProgramRef {
  /// What a tail call enters: the fields of an Entry (helpers/run_context.hpp), first in memory, since
  /// machine code reads them there.
  u64 (*run)(const void* self, void* ctx, RunContext* rc) = nullptr;
  const void* self = nullptr;

  u32 id = 0;
  ProgType type{};
  AttachType expected_attach_type{};
  bool jited = false;
  bool xdp_has_frags = false;
  bool sleepable = false;
  std::shared_ptr<const void> program;  ///< keeps it
};

/// Which programs a prog_array takes: those like the first (struct bpf_map_owner).
struct ProgramOwner {
  ProgType type{};
  AttachType expected_attach_type{};
  bool jited = false;
  bool xdp_has_frags = false;
  bool sleepable = false;
  bool operator==(const ProgramOwner&) const = default;
};

}  // namespace skep::maps
