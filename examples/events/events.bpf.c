/* Tells user space of each packet twice: in a ring buffer, and as a perf event with the packet's first bytes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 128);
} events SEC(".maps");

struct packet {
	__u32 length;
	__u32 ifindex;
};

SEC("xdp")
int tell(struct xdp_md *ctx)
{
	struct packet packet = {ctx->data_end - ctx->data, ctx->ingress_ifindex};

	bpf_ringbuf_output(&ring, &packet, sizeof(packet), 0);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU | (14ULL << 32), &packet, sizeof(packet));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
