/* A map of a type that no kernel has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, 4711);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} strange SEC(".maps");

SEC("xdp")
int badmap(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&strange, &key) ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
