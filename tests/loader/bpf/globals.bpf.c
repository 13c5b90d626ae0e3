// Global variables of all kinds, in all the sections they can be in.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum mode { OFF, ON = 3 };
struct config {
  __u32 low : 3;
  __u32 high : 9;
  __u64 wide;
  char name[6];
};

int counter;
__u64 big = 0x1122334455667788ULL;
enum mode mode = ON;
struct config config = {.low = 5, .high = 300, .wide = 7, .name = "eth0"};
short table[4] = {1, -2, 3};
static volatile int hidden_count = 11;
const volatile __u32 limit = 1000;
static const volatile char banner[] = "skep";
int custom SEC(".data.custom") = 42;
const volatile int fixed SEC(".rodata.fixed") = 43;
int zeros[3] SEC(".bss.zeros");
__hidden int unseen SEC(".data.unseen") = 1;

SEC("xdp")
int use_globals(struct xdp_md *ctx) {
  counter += hidden_count + banner[1] + fixed + custom + zeros[2] + unseen;
  if (config.low == mode && counter > limit) table[1] = (short)big;
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
