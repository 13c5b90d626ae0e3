// A CO-RE access path within one BTF, and the rules by which a path of the program's types finds its
// counterpart in the kernel's (libbpf's; what they are is described in Documentation/bpf/llvm_reloc.rst and
// libbpf's relo_core.c).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "btf/btf.hpp"
#include "loader/core.hpp"

namespace skep::loader {

[[nodiscard]] bool is_field_kind(CoreKind kind);
[[nodiscard]] bool is_type_kind(CoreKind kind);
[[nodiscard]] bool is_enumval_kind(CoreKind kind);

/// "task_struct" of "task_struct___v2": what follows a triple underscore only tells flavours apart.
[[nodiscard]] std::string_view essential_name(std::string_view name);

/// One step of a path that means something to people: a named member, or an index.
struct CoreAccess {
  u32 type_id = 0;  ///< of the struct for a member, of the element for an index
  u32 index = 0;
  std::string_view name;  ///< empty: an index
};

struct CoreSpec {
  const btf::Btf* btf = nullptr;
  u32 root = 0;
  std::vector<CoreAccess> steps;
  std::vector<u32> raw;  ///< every index, anonymous structs included
  u64 bit_offset = 0;
};

/// The path of a relocation in the program's own BTF. EINVAL for one that leads nowhere.
Result<CoreSpec> parse_spec(const btf::Btf& btf, const CoreRelocation& relocation);

/// Matches types and paths. Hostile BTF is bounded by a budget of steps.
class CoreMatcher {
 public:
  CoreMatcher(const btf::Btf& local, const btf::Btf& target) : local_(local), target_(target) {}

  /// The path in target type `target_id` that corresponds to `spec`, or none.
  Result<std::optional<CoreSpec>> match(const CoreSpec& spec, CoreKind kind, u32 target_id);
  Result<bool> compatible(u32 local_id, u32 target_id, u32 level = 32);
  /// Stricter, for bpf_core_type_matches(): all that the local type has must be in the target, of the same
  /// types.
  Result<bool> matches(u32 local_id, u32 target_id, bool behind_pointer = false, u32 level = 32);

 private:
  Result<bool> match_fields(const CoreSpec& spec, u32 target_id, CoreSpec& out);
  Result<bool> match_member(const CoreAccess& access, u32 target_id, CoreSpec& out, u32& next);
  Result<bool> match_index(const CoreAccess& access, bool first, u32& target_id, CoreSpec& out);
  std::optional<CoreSpec> match_enumerator(const CoreSpec& spec, u32 target_id);
  Result<bool> fields_compatible(u32 local_id, u32 target_id);
  Result<bool> composites_match(const btf::Type& local, const btf::Type& target, u32 level);
  bool enums_match(const btf::Type& local, const btf::Type& target) const;
  bool names_match(const btf::Type& local, const btf::Type& target) const;
  Result<void> spend();

  const btf::Btf& local_;
  const btf::Btf& target_;
  u32 budget_ = 4'000'000;
};

/// Types of the same kind, enums of either width counting as one.
[[nodiscard]] bool same_core_kind(const btf::Type& a, const btf::Type& b);
/// Whether the last step of `steps` is the array at the end of a struct, which may be longer than it says.
[[nodiscard]] bool is_flexible_array(const btf::Btf& btf, const std::vector<CoreAccess>& steps,
                                     const btf::Type& array);

}  // namespace skep::loader
