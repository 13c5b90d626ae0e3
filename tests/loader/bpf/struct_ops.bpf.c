// A table of functions for the kernel beside a program that has nothing to do with it.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct ops {
  int (*answer)(void);
};

SEC("struct_ops/answer") int answer(void* ctx) { return 42; }

SEC(".struct_ops") struct ops table = {.answer = (void*)answer};

SEC("xdp") int pass(struct xdp_md* ctx) { return XDP_PASS; }

char LICENSE[] SEC("license") = "GPL";
