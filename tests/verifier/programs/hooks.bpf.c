// Programs on hooks of security modules: which there are, what they may return, what their arguments are worth.
// What is expected of each stands in attached_test.cpp.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct file {
  unsigned int f_flags;
} __attribute__((preserve_access_index));
struct inode {
  unsigned long i_ino;
} __attribute__((preserve_access_index));
struct path;

extern int bpf_path_d_path(struct path* path, char* buf, unsigned long buf_sz) __ksym;

/// The file is read, and the verdict of the programs before this one handed on.
SEC("lsm/file_open")
int result_so_far(__u64* ctx) {
  struct file* file = (void*)ctx[0];
  int ret = (int)ctx[1];
  return file->f_flags == 7 ? -1 : ret;
}

SEC("lsm/file_open")
int returns_one(__u64* ctx) { return 1; }

SEC("lsm/file_open")
int returns_lowest_errno(__u64* ctx) { return -4095; }

SEC("lsm/file_open")
int returns_below_errno(__u64* ctx) { return -4096; }

SEC("lsm/file_open")
int returns_anything(__u64* ctx) { return bpf_get_prandom_u32(); }

SEC("lsm/inode_xattr_skipcap")
int bool_returns_one(__u64* ctx) { return 1; }

SEC("lsm/inode_xattr_skipcap")
int bool_returns_error(__u64* ctx) { return -1; }

SEC("lsm/task_free")
int void_returns_anything(__u64* ctx) { return bpf_get_prandom_u32(); }

SEC("lsm/getprocattr")
int disabled_hook(__u64* ctx) { return 0; }

SEC("lsm.s/file_open")
int sleeps(__u64* ctx) { return 0; }

SEC("lsm.s/task_kill")
int sleeps_where_it_must_not(__u64* ctx) { return 0; }

SEC("lsm/file_open")
int second_argument(__u64* ctx) { return ctx[2] != 0; }

SEC("lsm/file_open")
int writes_context(__u64* ctx) {
  ctx[0] = 0;
  return 0;
}

SEC("lsm/file_open")
int writes_file(__u64* ctx) {
  struct file* file = (void*)ctx[0];
  file->f_flags = 1;
  return 0;
}

SEC("lsm/file_open")
int cookie(__u64* ctx) { return bpf_get_attach_cookie(ctx) == 1 ? -1 : 0; }

SEC("lsm/file_open")
int options_of_no_socket(__u64* ctx) { return bpf_setsockopt((void*)ctx[0], 1, 2, 0, 0) ? -1 : 0; }

SEC("lsm_cgroup/socket_post_create")
int cgroup_returns_one(__u64* ctx) { return 1; }

SEC("lsm_cgroup/socket_post_create")
int cgroup_returns_error(__u64* ctx) { return -1; }

SEC("lsm_cgroup/socket_post_create")
int cgroup_options(__u64* ctx) {
  int on = 1;
  return bpf_setsockopt((void*)ctx[0], 1, 2, &on, sizeof on) == 0;
}

SEC("lsm_cgroup/socket_bind")
int cgroup_options_elsewhere(__u64* ctx) {
  int on = 1;
  return bpf_setsockopt((void*)ctx[0], 1, 2, &on, sizeof on) == 0;
}

SEC("lsm_cgroup/inet_csk_clone")
int cgroup_void_returns_zero(__u64* ctx) { return 0; }

SEC("lsm_cgroup/inet_csk_clone")
int cgroup_void_returns_one(__u64* ctx) { return 1; }

SEC("lsm_cgroup/socket_post_create")
int cgroup_cookie(__u64* ctx) { return bpf_get_attach_cookie(ctx) == 1; }

SEC("fmod_ret/bpf_modify_return_test")
int modifies(__u64* ctx) { return 5; }

SEC("fmod_ret/bpf_iter_task")
int modifies_what_it_must_not(__u64* ctx) { return 5; }

SEC("fentry.s/bpf_iter_task")
int sleeps_where_nobody_may(__u64* ctx) { return 0; }

SEC("fexit/bpf_iter_task")
int exit_returns_one(__u64* ctx) { return 1; }
