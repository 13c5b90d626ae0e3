// Helpers that only programs attached to some functions may call, beyond what type and hook say (kernel:
// bpf_func_proto::allowed, bpf_iter_get_func_proto(), check_get_func_ip()).
#include <algorithm>

#include "verifier/call/helper_ids.hpp"
#include "verifier/types/lsm_hooks.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// kernel: btf_allowlist_d_path
constexpr std::string_view d_path_functions[] = {"security_file_permission",
                                                 "security_inode_getattr",
                                                 "security_file_open",
                                                 "security_path_truncate",
                                                 "vfs_truncate",
                                                 "vfs_fallocate",
                                                 "dentry_open",
                                                 "vfs_getattr",
                                                 "filp_close"};

/// kernel: the iterators with a get_func_proto
constexpr std::string_view socket_iterators[] = {"bpf_iter_tcp", "bpf_iter_unix"};

bool holds(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool uses_trampoline(AttachType attach) {
  return attach == AttachType::trace_fentry || attach == AttachType::trace_fexit ||
         attach == AttachType::modify_return;
}

}  // namespace

bool Walk::target_allows(s32 func_id) const {
  const std::string_view target = e.program.attach.name;
  const AttachType attach = e.input.expected_attach_type;
  const bool tracing = e.input.type == ProgType::tracing;
  switch (func_id) {
    case fn_id::d_path:
      if (e.input.type == ProgType::lsm) return lsm::is_sleepable(target);
      return tracing && (attach == AttachType::trace_iter || holds(d_path_functions, target));
    case fn_id::ima_inode_hash:
    case fn_id::ima_file_hash:
      return e.input.type != ProgType::lsm || lsm::is_sleepable(target);
    case fn_id::sk_storage_get:
    case fn_id::sk_storage_delete:
      if (e.input.type == ProgType::syscall) return false;
      if (!tracing || attach == AttachType::trace_iter || attach == AttachType::trace_raw_tp) return true;
      return uses_trampoline(attach) && attach != AttachType::modify_return &&
             !target.starts_with("bpf_sk_storage");
    default:
      return true;
  }
}

/// Options of sockets are for the iterators and hooks that hold the socket's lock, or need none.
bool Walk::target_lacks(s32 func_id) const {
  if (func_id != fn_id::setsockopt && func_id != fn_id::getsockopt) return false;
  const std::string_view target = e.program.attach.name;
  if (e.input.type == ProgType::lsm) return !lsm::allows_socket_options(target);
  return e.input.type == ProgType::tracing && e.input.expected_attach_type == AttachType::trace_iter &&
         !holds(socket_iterators, target);
}

Status Walk::check_get_func_ip() {
  const std::string text = helper_text(fn_id::get_func_ip);
  if (e.input.type == ProgType::kprobe) return passed;
  if (e.input.type != ProgType::tracing)
    return e.reject(kENOTSUPP, "func {} not supported for program type {}\n", text,
                    static_cast<u32>(e.input.type));
  if (uses_trampoline(e.input.expected_attach_type)) return passed;
  return e.reject(kENOTSUPP, "func {} supported only for fentry/fexit/fmod_ret programs\n", text);
}

}  // namespace skep::verifier
