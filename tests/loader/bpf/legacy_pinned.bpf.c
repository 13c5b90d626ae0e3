// Maps as loaders before libbpf 1.0 had them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map_def {
  unsigned int type, key_size, value_size, max_entries, map_flags, id, pinning;
};

struct bpf_map_def SEC("maps") first_map = {.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 10};
struct bpf_map_def SEC("maps") second_map = {
    .type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 16, .max_entries = 3, .map_flags = 0x400, .pinning = 2};

SEC("xdp")
int use_legacy(struct xdp_md *ctx) {
  __u32 key = 1;
  return bpf_map_lookup_elem(&first_map, &key) && bpf_map_lookup_elem(&second_map, &key) ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
