/* Functions that are not inlined, callbacks and a while loop under an iterator-less bound: many frames, many
 * states with callers below them. */
#include "bench.h"
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, u32); __type(value, u64); } words SEC(".maps");

static __noinline u32 step(u32 hash, u32 word, u32 kind)
{
	switch (kind & 7) {
	case 0: return hash * 31 + word;
	case 1: return (hash ^ word) * 0x01000193;
	case 2: return hash + (word << 3) - (word >> 5);
	case 3: return hash ^ (hash << 13) ^ word;
	case 4: return hash - word * 7;
	case 5: return word > 1000 ? hash + 1 : hash ^ 0x55;
	case 6: return word & 1 ? hash << 1 : hash >> 1;
	default: return ~hash;
	}
}
static __noinline u32 row(struct xdp_md *ctx, u32 start, u32 hash)
{
	u8 *at = DATA(ctx), *end = DATA_END(ctx);
	for (u32 i = 0; i < 8; i++) {
		if (at + 64 + i * 4 + 4 > end) break;
		u32 word = *(u32 *)(at + 64 + i * 4);
		hash = step(hash, word, start + i);
		if (hash == 42) {
			u64 *n = bpf_map_lookup_elem(&words, &word);
			if (n) __sync_fetch_and_add(n, 1);
		}
	}
	return hash;
}
struct state { struct xdp_md *ctx; u32 hash; };
static long turn(u32 i, struct state *s)
{
	s->hash = step(s->hash, i, s->hash);
	return s->hash == 7;
}
SEC("xdp") int verify_calls(struct xdp_md *ctx)
{
	u32 hash = 1;
	for (u32 i = 0; i < 32; i++) hash = row(ctx, i, hash);
	struct state s = {ctx, hash};
	bpf_loop(100, turn, &s, 0);
	return s.hash & 1 ? XDP_PASS : XDP_TX;
}
