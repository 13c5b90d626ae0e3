// Programs for one interface together. Each counts itself and the order it ran in.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RUN_CONFIG(name) _##name SEC(".xdp_run_config")

struct {
  __uint(priority, 10);
  __uint(XDP_PASS, 1);
  __uint(XDP_TX, 1);
} RUN_CONFIG(first);

struct {
  __uint(priority, 20);
  __uint(XDP_PASS, 0);
} RUN_CONFIG(stops);

int ran_first, ran_stops, ran_plain, ran_drops;

SEC("xdp")
int first(struct xdp_md *ctx) {
  __sync_fetch_and_add(&ran_first, 1);
  return XDP_TX;
}
SEC("xdp")
int stops(struct xdp_md *ctx) {
  __sync_fetch_and_add(&ran_stops, 1);
  return XDP_PASS;
}
SEC("xdp")
int plain(struct xdp_md *ctx) {
  __sync_fetch_and_add(&ran_plain, 1);
  return XDP_PASS;
}
SEC("xdp")
int drops(struct xdp_md *ctx) {
  __sync_fetch_and_add(&ran_drops, 1);
  return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
