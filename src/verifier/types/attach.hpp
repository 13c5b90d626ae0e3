// What a program is attached to by the kernel's BTF: the prototype whose arguments its context holds.
#pragma once
#include "btf/btf.hpp"
#include "verifier/state/reg_type.hpp"

namespace skep::verifier {

struct FunctionTable;

/// kernel: bpf_prog_aux::attach_func_proto and what stands beside it
struct AttachTarget {
  const btf::Btf* btf = nullptr;
  const btf::Type* proto = nullptr;
  std::string_view name;                 ///< of the tracepoint or function, or of the table's member
  u32 skipped_args = 0;                  ///< leading parameters that the context does not hold
  const FunctionTable* table = nullptr;  ///< struct_ops
};

/// Argument `arg` of the tracepoint may be NULL.
[[nodiscard]] bool tracepoint_arg_nullable(std::string_view tracepoint, u32 arg);

/// What an iterator passes as an argument, where it is not what the prototype says.
struct IterArg {
  u32 index;
  Base base;
  u16 flags;
};
/// `target`: "task" of bpf_iter_task(). nullptr: as the prototype says.
[[nodiscard]] const IterArg* iter_arg(std::string_view target, u32 arg);
[[nodiscard]] bool iter_target_known(std::string_view target);

}  // namespace skep::verifier
