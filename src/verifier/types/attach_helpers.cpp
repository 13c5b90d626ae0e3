// Helpers that only programs attached to some functions may call, beyond what type and hook say (kernel:
// bpf_func_proto::allowed, bpf_iter_get_func_proto(), check_get_func_ip()).
#include <algorithm>

#include "verifier/call/helper_ids.hpp"
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

/// kernel: sleepable_lsm_hooks, without "bpf_lsm_"
constexpr std::string_view sleepable_hooks[] = {
    "bpf",
    "bpf_map",
    "bpf_map_create",
    "bpf_map_free",
    "bpf_prog",
    "bpf_prog_load",
    "bpf_token_capable",
    "bpf_token_cmd",
    "bpf_token_create",
    "bpf_token_free",
    "bprm_check_security",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "bprm_creds_for_exec",
    "bprm_creds_from_file",
    "capget",
    "capset",
    "cred_prepare",
    "current_getsecid_subj",
    "file_ioctl",
    "file_lock",
    "file_open",
    "file_post_open",
    "file_receive",
    "inode_create",
    "inode_free_security",
    "inode_getattr",
    "inode_getxattr",
    "inode_mknod",
    "inode_need_killpriv",
    "inode_post_setxattr",
    "inode_readlink",
    "inode_rename",
    "inode_rmdir",
    "inode_setattr",
    "inode_setxattr",
    "inode_symlink",
    "inode_unlink",
    "kernel_module_request",
    "kernel_read_file",
    "kernfs_init_security",
    "mmap_file",
    "netlink_send",
    "path_chmod",
    "path_chown",
    "path_link",
    "path_mkdir",
    "path_notify",
    "path_rename",
    "path_rmdir",
    "path_symlink",
    "path_truncate",
    "path_unlink",
    "release_secctx",
    "sb_alloc_security",
    "sb_eat_lsm_opts",
    "sb_kern_mount",
    "sb_mount",
    "sb_remount",
    "sb_set_mnt_opts",
    "sb_show_options",
    "sb_statfs",
    "sb_umount",
    "settime",
    "socket_accept",
    "socket_bind",
    "socket_connect",
    "socket_create",
    "socket_getpeername",
    "socket_getpeersec_dgram",
    "socket_getsockname",
    "socket_getsockopt",
    "socket_listen",
    "socket_post_create",
    "socket_recvmsg",
    "socket_sendmsg",
    "socket_shutdown",
    "socket_socketpair",
    "syslog",
    "task_alloc",
    "task_getsecid_obj",
    "task_prctl",
    "task_setscheduler",
    "userns_create",
};

/// kernel: the iterators with a get_func_proto
constexpr std::string_view socket_iterators[] = {"bpf_iter_tcp", "bpf_iter_unix"};

bool holds(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_sleepable_hook(std::string_view name) {
  constexpr std::string_view prefix = "bpf_lsm_";
  return name.starts_with(prefix) && holds(sleepable_hooks, name.substr(prefix.size()));
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
      if (e.input.type == ProgType::lsm) return is_sleepable_hook(target);
      return tracing && (attach == AttachType::trace_iter || holds(d_path_functions, target));
    case fn_id::ima_inode_hash:
    case fn_id::ima_file_hash:
      return e.input.type != ProgType::lsm || is_sleepable_hook(target);
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

/// Options of sockets are for the iterators that hold the socket's lock.
bool Walk::iterator_lacks(s32 func_id) const {
  return e.input.type == ProgType::tracing && e.input.expected_attach_type == AttachType::trace_iter &&
         (func_id == fn_id::setsockopt || func_id == fn_id::getsockopt) &&
         !holds(socket_iterators, e.program.attach.name);
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
