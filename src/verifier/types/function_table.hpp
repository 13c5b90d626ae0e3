// Programs that stand for a function of one of the kernel's tables of functions (struct_ops): which tables
// there are, and what is special to each.
#pragma once
#include <optional>

#include "btf/kernel_btf.hpp"

namespace skep::verifier {

/// kernel: struct bpf_struct_ops, its verifier_ops and its stubs
struct FunctionTable {
  std::string_view name;             ///< of the table's struct
  std::string_view without_stub;     ///< the function that cannot be a program
  std::string_view only_sleepable;   ///< the one function that may sleep; empty: all may
  std::string_view nullable_member;  ///< the function whose first argument may be NULL
  std::string_view without_sockopt;  ///< the function that may not call bpf_setsockopt() and bpf_getsockopt()
  bool helpers = false;              ///< its programs may call helpers
  bool socks_are_tcp = false;        ///< arguments that are socks are TCP's
  std::string_view writable;         ///< the struct that its programs may write into
};

/// nullptr: programs cannot be functions of that struct.
[[nodiscard]] const FunctionTable* find_function_table(std::string_view name);

/// Bytes of a struct that a program may write: [begin, end). `inside`: a write may begin anywhere in it, else
/// only at its begin.
struct WritableField {
  s32 begin = 0, end = 0;
  bool inside = false;
};
/// The field of struct tcp_sock that congestion control may write at `off`; nothing if there is none.
[[nodiscard]] std::optional<WritableField> writable_tcp_field(const btf::KernelBtf& kernel, s32 off);

}  // namespace skep::verifier
