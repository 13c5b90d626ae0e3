// What a program is attached to by BTF: the prototype whose arguments its context holds.
#pragma once
#include <optional>

#include "btf/btf.hpp"
#include "verifier/log/log.hpp"
#include "verifier/state/frame.hpp"
#include "verifier/state/reg_type.hpp"

namespace skep::verifier {

struct FunctionTable;
struct Program;

/// kernel: bpf_prog_aux::attach_func_proto and what stands beside it
struct AttachTarget {
  const btf::Btf* btf =
      nullptr;  ///< whose types the context holds; nullptr: the program is not attached by BTF
  const btf::Type* proto = nullptr;      ///< nullptr: five numbers
  std::string_view name;                 ///< of the tracepoint or function, or of the table's member
  u32 skipped_args = 0;                  ///< leading parameters that the context does not hold
  const FunctionTable* table = nullptr;  ///< struct_ops
  bool args_trusted = false;
  std::optional<ReturnRange> result{};  ///< what the function returns, and the program must
};

// --- another program's function (attach_program.cpp) -----------------------------------------------------

/// The function of `input.target` that `input.attach_btf_id` names; check_target_program() has found it.
[[nodiscard]] const TargetFunction& target_function(const Input& input);
/// The target has the function, and lets this program be attached to it. 0 or a positive errno.
[[nodiscard]] int check_target_program(const Input& input, Program& program, Log& log);
/// The program has the arguments and the result of the function that it replaces. 0 or a positive errno.
[[nodiscard]] int check_same_signature(const Input& input, const btf::Btf& others, const btf::Type& function,
                                       Log& log);

// --- what is known of the kernel's functions (attach_facts.cpp) ------------------------------------------

/// Programs attached to the function may sleep (kernel: within_error_injection_list() but for three of them,
/// or a fmod_ret id with KF_SLEEPABLE).
[[nodiscard]] bool may_sleep_at(std::string_view function);
/// Programs may change what it returns (kernel: check_attach_modify_return()).
[[nodiscard]] bool may_modify_return_of(std::string_view function);
/// kernel: btf_id_deny
[[nodiscard]] bool is_denied_to_tracing(std::string_view function);
/// kernel: noreturn_deny
[[nodiscard]] bool never_returns(std::string_view function);

/// Argument `arg` of the tracepoint may be NULL.
[[nodiscard]] bool tracepoint_arg_nullable(std::string_view tracepoint, u32 arg);

/// What an iterator passes as an argument, where it is not what the prototype says.
struct IterArg {
  u32 index;
  Base base;
  u16 flags;
};
/// `function`: "bpf_iter_task".
[[nodiscard]] bool is_iterator(std::string_view function);
/// nullptr: as the prototype says.
[[nodiscard]] const IterArg* iter_arg(std::string_view function, u32 arg);

}  // namespace skep::verifier
