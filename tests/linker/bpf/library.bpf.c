// What main.bpf.c lacks, and static names that it has too.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct inner {
  long x;
};
struct shared {
  int hits;
  struct inner *pointer;
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8);
  __type(key, int);
  __type(value, struct shared);
} seen SEC(".maps");
int counter = 7;
const volatile int step = 3;
int weak_here = 2;

static volatile int scale = 9;
static __noinline int helper(int x) { return x * 2 + scale; }
__noinline int add(int a, int b) { return a + b + scale * 10; }
__noinline int chosen(int x) { return x + 100; }

SEC("xdp")
int from_library(struct xdp_md *ctx) {
  int key = 1;
  struct shared *value = bpf_map_lookup_elem(&seen, &key);
  return helper(value ? value->hits : 100);
}

SEC("tc")
int of_tc(struct __sk_buff *skb) { return helper(1) + chosen(1); }

char LICENSE[] SEC("license") = "GPL";
