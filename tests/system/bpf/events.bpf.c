// Outputs an event for each packet: a perf event with the packet's first bytes behind it, and a ring record.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
  __uint(max_entries, 8);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct event {
  __u32 magic;
  __u32 length;
};

long refused;

SEC("xdp")
int output(struct xdp_md *ctx) {
  struct event event = {0x736b6570, (__u32)(ctx->data_end - ctx->data)};
  if (bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | (6ULL << 32), &event, sizeof(event)) != 0)
    refused++;
  bpf_ringbuf_output(&ring, &event, sizeof(event), 0);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
