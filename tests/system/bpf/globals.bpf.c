/* Global variables: arrays, structs, enums, bit-fields, 64-bit, static, const. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum kind { KIND_NONE, KIND_SMALL, KIND_LARGE };

struct packet_info {
	__u32 size;
	enum kind kind;
	__u16 queue;
};

struct state {
	unsigned int seen : 1;
	unsigned int count : 3;
};

__u64 packets, bytes;
__u32 histogram[4];
struct packet_info last;
struct state flags;
static volatile __u8 hidden;

int limit = 1000;
__u64 big = 0x123456789abcdef;

const char names[3][8] = { "none", "small", "large" };
const volatile __u32 small = 100;

SEC("xdp")
int globals(struct xdp_md *ctx)
{
	__u32 size = ctx->data_end - ctx->data;

	packets++;
	bytes += size;
	histogram[size < 64 ? 0 : size < 128 ? 1 : size < 512 ? 2 : 3]++;
	last.size = size;
	last.kind = size < small ? KIND_SMALL : KIND_LARGE;
	last.queue = ctx->rx_queue_index;
	flags.seen = 1;
	flags.count++;
	hidden = names[last.kind & 1][0];
	return size > limit * 100 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
