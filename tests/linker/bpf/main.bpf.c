// A program whose map, variables and functions are another object's.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct inner {
  long x;
};
struct shared {
  int hits;
  struct inner *pointer;
};
extern struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8);
  __type(key, int);
  __type(value, struct shared);
} seen SEC(".maps");
extern int counter;
extern const int step;
int add(int a, int b);

static volatile int scale = 5;
static __noinline int helper(int x) { return x * scale + 3; }
__weak __noinline int chosen(int x) { return x + 1; }
__weak int weak_here = 11;

SEC("xdp")
int from_main(struct xdp_md *ctx) {
  struct shared value = {.hits = 4};
  int key = 1;
  bpf_map_update_elem(&seen, &key, &value, 0);
  counter += step;
  return add(helper(2), chosen(2)) + counter * 1000 + weak_here * 100000;
}

char LICENSE[] SEC("license") = "GPL";
