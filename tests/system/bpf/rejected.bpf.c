/* Reads one byte past what it checked. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int bad(struct xdp_md *ctx)
{
	unsigned char *p = (void *)(long)ctx->data;

	if (p + 13 > (unsigned char *)(long)ctx->data_end)
		return XDP_ABORTED;
	return p[13];
}

char LICENSE[] SEC("license") = "GPL";
