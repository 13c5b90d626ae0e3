// CO-RE against the running kernel, and externs that every kernel has.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct task_struct {
  int pid;
  int tgid;
  struct task_struct *real_parent;
};
struct net_device___missing {
  int no_such_field;
};
#pragma clang attribute pop

extern int LINUX_KERNEL_VERSION __kconfig;
int parent, fields, version;

SEC("kprobe/do_unlinkat")
int watch(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task();
  parent = BPF_CORE_READ(task, real_parent, tgid);
  fields = bpf_core_field_exists(((struct net_device___missing *)0)->no_such_field);
  if (fields) fields = bpf_core_field_offset(((struct net_device___missing *)0)->no_such_field);
  version = LINUX_KERNEL_VERSION;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
