// CO-RE: adapting instructions to the types of the kernel they will run on (Documentation/bpf/llvm_reloc.rst
// and libbpf's rules of which types match).
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "btf/btf.hpp"
#include "loader/object.hpp"

namespace skep::loader {

/// enum bpf_core_relo_kind
enum class CoreKind : u32 {
  field_byte_offset = 0,
  field_byte_size = 1,
  field_exists = 2,
  field_signed = 3,
  field_lshift_u64 = 4,
  field_rshift_u64 = 5,
  type_id_local = 6,
  type_id_target = 7,
  type_exists = 8,
  type_size = 9,
  enumval_exists = 10,
  enumval_value = 11,
  type_matches = 12,
};

struct CoreSpec;

/// Finds target types by name once for all relocations of a load.
class CoreTarget {
 public:
  CoreTarget(const btf::Btf& local, const btf::Btf* target);
  ~CoreTarget();
  CoreTarget(const CoreTarget&) = delete;
  CoreTarget& operator=(const CoreTarget&) = delete;

  /// Applies one relocation to `insns`. True if it did, false if what it asks for does not exist in the
  /// target and the instruction was made one that no verifier lets through. EINVAL and the like for a
  /// relocation that is malformed or ambiguous.
  Result<bool> apply(std::vector<isa::Insn>& insns, const CoreRelocation& relocation);

  /// The type and path of the target that a relocation finds, or none. Fails where apply() would.
  Result<std::optional<CoreSpec>> find(const CoreRelocation& relocation);

  /// "<byte_off> [2] struct task_struct.pid (0:1 @ offset 4)": for messages.
  [[nodiscard]] std::string describe(const CoreRelocation& relocation) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// libbpf's bpf_core_types_are_compat(): whether a local type may stand for a target's one.
[[nodiscard]] Result<bool> types_are_compatible(const btf::Btf& local, u32 local_id, const btf::Btf& target,
                                                u32 target_id);

}  // namespace skep::loader
