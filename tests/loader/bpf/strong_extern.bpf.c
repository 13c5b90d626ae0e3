// Needs a kernel option that does not exist.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int CONFIG_SKEP_NOT_THERE __kconfig;

SEC("xdp")
int needs_option(struct xdp_md *ctx) {
  return CONFIG_SKEP_NOT_THERE;
}

char LICENSE[] SEC("license") = "GPL";
