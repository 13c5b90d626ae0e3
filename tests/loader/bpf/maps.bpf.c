// Maps of SEC(".maps") in every form.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key {
  __u32 addr;
  __u16 port;
};
struct value {
  __u64 packets, bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, struct key);
  __type(value, struct value);
  __uint(map_flags, BPF_F_NO_PREALLOC);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 4);
  __uint(key_size, 4);
  __uint(value_size, 8);
} a_map_with_a_long_name SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, __u64);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} shared SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 5000);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
} perf SEC(".maps");

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 4);
  __type(key, __u32);
  __array(values, struct inner);
} outer SEC(".maps") = {.values = {[0] = &inner_a, [2] = &inner_b}};

int target(struct xdp_md *ctx);
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 3);
  __uint(key_size, 4);
  __array(values, int(struct xdp_md *));
} jumps SEC(".maps") = {.values = {[1] = (void *)&target}};

SEC("xdp")
int target(struct xdp_md *ctx) {
  return XDP_DROP;
}

SEC("xdp")
int use_maps(struct xdp_md *ctx) {
  struct key key = {.addr = 1, .port = 2};
  struct value *value = bpf_map_lookup_elem(&flows, &key);
  if (value) value->packets++;
  __u32 zero = 0;
  __u64 *n = bpf_map_lookup_elem(&a_map_with_a_long_name, &zero);
  if (n) ++*n;
  n = bpf_map_lookup_elem(&shared, &zero);
  if (n) ++*n;
  void *in = bpf_map_lookup_elem(&outer, &zero);
  if (in) bpf_map_lookup_elem(in, &zero);
  bpf_tail_call(ctx, &jumps, 1);
  return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
