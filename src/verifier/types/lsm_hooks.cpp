// See lsm_hooks.hpp: the lists of Linux 6.18's kernel/bpf/bpf_lsm.c, by the names of the hooks.
#include "verifier/types/lsm_hooks.hpp"

#include <algorithm>
#include <span>

namespace skep::verifier::lsm {

namespace {

constexpr std::string_view prefix = "bpf_lsm_";

/// Functions that are named like hooks and are none.
constexpr std::string_view not_hooks[] = {"find_cgroup_shim",   "func_proto",         "get_retval_range",
                                          "has_d_inode_locked", "hook_returns_errno", "init",
                                          "is_sleepable_hook",  "is_trusted",         "verify_prog"};

/// kernel: bpf_lsm_disabled_hooks
constexpr std::string_view disabled_hooks[] = {
    "vm_enough_memory",    "inode_need_killpriv", "inode_getsecurity",   "inode_listsecurity",
    "inode_copy_up_xattr", "getselfattr",         "getprocattr",         "setprocattr",
    "key_getsecurity",     "audit_rule_match",    "xfrm_decode_session", "ismaclabel"};

/// kernel: untrusted_lsm_hooks, which run when their object is being made or freed
constexpr std::string_view untrusted_hooks[] = {
    "bpf_map_free",     "bpf_prog_free", "file_alloc_security", "file_free_security", "sk_alloc_security",
    "sk_free_security", "task_free"};

/// kernel: bool_lsm_hooks
constexpr std::string_view bool_hooks[] = {"xfrm_state_pol_flow_match", "audit_rule_known",
                                           "inode_xattr_skipcap"};

/// kernel: bpf_lsm_locked_sockopt_hooks and bpf_lsm_unlocked_sockopt_hooks
constexpr std::string_view socket_option_hooks[] = {"sock_graft", "inet_csk_clone", "inet_conn_established",
                                                    "socket_post_create", "socket_socketpair"};

/// kernel: sleepable_lsm_hooks
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

bool holds(std::span<const std::string_view> hooks, std::string_view function) {
  return function.starts_with(prefix) &&
         std::ranges::find(hooks, function.substr(prefix.size())) != hooks.end();
}

}  // namespace

bool is_hook(std::string_view function) {
  return function.starts_with(prefix) && !holds(not_hooks, function);
}
bool is_disabled(std::string_view function) { return holds(disabled_hooks, function); }
bool is_sleepable(std::string_view function) { return holds(sleepable_hooks, function); }
bool has_trusted_args(std::string_view function) { return !holds(untrusted_hooks, function); }
bool returns_bool(std::string_view function) { return holds(bool_hooks, function); }
bool allows_socket_options(std::string_view function) { return holds(socket_option_hooks, function); }

}  // namespace skep::verifier::lsm
