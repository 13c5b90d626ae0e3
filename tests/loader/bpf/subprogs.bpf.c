// Several programs of several sections, sharing static and global subprograms, callbacks, weak functions.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int calls;

static __attribute__((noinline)) int twice(int x) { return x * 2 + calls; }
__attribute__((noinline)) int global_sum(int a, int b) { return twice(a) + b; }
__attribute__((noinline)) __hidden int hidden_sum(int a, int b) { return a - b + calls; }
__weak __attribute__((noinline)) int weak_answer(int x) { return x + 42 + calls; }

static long step(__u32 index, void *data) {
  *(int *)data += (int)index;
  return 0;
}

SEC("xdp")
int first(struct xdp_md *ctx) {
  return global_sum((int)ctx->ingress_ifindex, 3) & 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int second(struct xdp_md *ctx) {
  return hidden_sum(weak_answer((int)ctx->rx_queue_index), twice(5)) & 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int loops(struct xdp_md *ctx) {
  int sum = 0;
  bpf_loop(10, step, &sum, 0);
  return sum & 1 ? XDP_PASS : XDP_DROP;
}

SEC("?tc")
int optional(struct __sk_buff *skb) {
  return global_sum((int)skb->len, 1);
}

SEC("tcx/ingress")
int classify(struct __sk_buff *skb) {
  return -1;
}

SEC("kprobe/do_unlinkat")
int a_program_with_a_long_name(void *ctx) {
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
__u32 _version SEC("version") = 0x60c00;
