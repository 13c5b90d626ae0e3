/* Loops that the verifier has to walk turn by turn, one inside the other, over a table and a packet. */
#include "bench.h"
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u32[256]); } table SEC(".maps");

SEC("xdp") int verify_loops(struct xdp_md *ctx)
{
	u32 zero = 0, *t = bpf_map_lookup_elem(&table, &zero);
	u8 *at = DATA(ctx), *end = DATA_END(ctx);
	volatile u32 turns = 0;
	u32 sum = 0;
	if (!t) return XDP_ABORTED;
	for (u32 i = 0; i < 200; i++) {
		for (u32 j = 0; j < 60; j++) {
			sum += t[(i + j) & 255] >> (j & 7);
			turns++;
		}
		if (at + i + 1 > end) break;
		sum ^= at[i];
	}
	return sum & 1 ? XDP_PASS : XDP_DROP;
}
