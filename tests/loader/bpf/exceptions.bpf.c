// A program whose exception callback nothing calls.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__attribute__((noinline)) int on_exception(__u64 cookie) {
  return (int)cookie;
}

SEC("xdp")
__attribute__((btf_decl_tag("exception_callback:on_exception"))) int throws(struct xdp_md *ctx) {
  return XDP_PASS;
}

SEC("xdp")
int plain(struct xdp_md *ctx) {
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
