// The hooks of security modules that programs attach to: functions of the kernel, "bpf_lsm_file_open", and
// what is special to each (kernel: kernel/bpf/bpf_lsm.c).
#pragma once
#include <string_view>

namespace skep::verifier::lsm {

/// `function`: with its "bpf_lsm_".
[[nodiscard]] bool is_hook(std::string_view function);
/// What it does, programs may not decide.
[[nodiscard]] bool is_disabled(std::string_view function);
/// Its programs may sleep.
[[nodiscard]] bool is_sleepable(std::string_view function);
/// The objects that it passes are whole.
[[nodiscard]] bool has_trusted_args(std::string_view function);
/// Its result is 0 or 1; that of the others 0 or a negative errno.
[[nodiscard]] bool returns_bool(std::string_view function);
/// Its programs, if of control groups, may call bpf_setsockopt() and bpf_getsockopt().
[[nodiscard]] bool allows_socket_options(std::string_view function);

}  // namespace skep::verifier::lsm
