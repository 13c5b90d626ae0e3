// Helpers about control groups, on an array that has none.
#include "kfuncs.bpf.h"

#define E2BIG 7
#define EAGAIN 11

struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 2);
} groups SEC(".maps");

SEC("tc")
int of_packets(struct __sk_buff *skb) {
  CHECK(bpf_get_cgroup_classid(skb) == 0);
  CHECK(bpf_skb_under_cgroup(skb, &groups, 1) == -EAGAIN);
  CHECK(bpf_skb_under_cgroup(skb, &groups, 2) == -E2BIG);
  return 0;
}

SEC("xdp")
int of_the_task(struct xdp_md *xdp) {
  CHECK(bpf_get_cgroup_classid((void *)xdp) == 0);
  CHECK(bpf_current_task_under_cgroup(&groups, 0) == -EAGAIN);
  CHECK(bpf_current_task_under_cgroup(&groups, 2) == -E2BIG);
  return 0;
}

char _license[] SEC("license") = "GPL";
