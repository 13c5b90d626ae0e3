// Means something else by names of library.bpf.c.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

extern long counter;

SEC("xdp")
int other(struct xdp_md *ctx) { return counter; }

char LICENSE[] SEC("license") = "GPL";
