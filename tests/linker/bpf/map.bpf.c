// Means a larger map by a name of library.bpf.c, and has another license.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

extern struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 9);
  __type(key, int);
  __type(value, int);
} seen SEC(".maps");

SEC("xdp")
int other(struct xdp_md *ctx) { return bpf_map_lookup_elem(&seen, &(int){1}) != 0; }
