// A section whose name libbpf does not know.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp/target")
int unknown_section(struct xdp_md *ctx) {
  return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
