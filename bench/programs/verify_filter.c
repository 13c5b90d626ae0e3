/* A packet filter: many rules in a row, each with conditions of its own that read the parsed packet and
 * constants that user space sets, so that the paths multiply and the verifier has to recognise states. */
#include "bench.h"

struct parsed { u32 src, dst, length; u16 sp, dp; u8 proto, ttl, tos, flags; };
struct rule { u32 net, mask; u16 low, high; u8 proto, flags, action, on; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 64); __type(key, u32); __type(value, struct rule); } rules SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 256); __type(key, u32); __type(value, u64); } hits SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 4096); __type(key, u32); __type(value, u64); } sources SEC(".maps");
const volatile u32 features = 0xff;
const volatile u32 rate = 1000;

static __always_inline void hit(u32 i)
{
	u64 *n = bpf_map_lookup_elem(&hits, &i);
	if (n) ++*n;
}

static __always_inline int matches(const struct rule *r, const struct parsed *p)
{
	if (!r->on) return 0;
	if (r->proto && r->proto != p->proto) return 0;
	u32 address = r->flags & 1 ? p->dst : p->src;
	if ((address & r->mask) != r->net) return 0;
	u16 port = r->flags & 2 ? p->dp : p->sp;
	if (r->low && (port < r->low || port > r->high)) return 0;
	if ((r->flags & 4) && p->ttl < 5) return 0;
	if ((r->flags & 8) && !(p->flags & 2)) return 0;
	return 1;
}

SEC("xdp") int verify_filter(struct xdp_md *ctx)
{
	struct key5 k;
	struct parsed p = {};
	if (parse5(ctx, &k)) return XDP_PASS;
	u8 *at = DATA(ctx), *end = DATA_END(ctx);
	if (at + sizeof(struct eth) + sizeof(struct ip4) > end) return XDP_PASS;
	struct ip4 *ip = (struct ip4 *)(at + sizeof(struct eth));
	p.src = k.src; p.dst = k.dst; p.sp = bpf_ntohs(k.sp); p.dp = bpf_ntohs(k.dp); p.proto = k.proto;
	p.ttl = ip->ttl; p.tos = ip->tos; p.length = end - at;
	if (p.length > 1500) p.flags |= 1;
	if (ip->frag & bpf_htons(0x4000)) p.flags |= 2;
	int verdict = XDP_PASS, score = 0;
#pragma clang loop unroll(full)
	for (u32 i = 0; i < 24; i++) {
		u32 index = i;
		struct rule *r = bpf_map_lookup_elem(&rules, &index);
		if (!r) break;
		if (!matches(r, &p)) continue;
		hit(index);
		if (r->action == 1) return XDP_DROP;
		if (r->action == 2) { verdict = XDP_TX; break; }
		if (r->action == 3) score += 3;
		if (r->action == 4 && score > 0) score--;
	}
	if ((features & 1) && p.proto == 6 && (p.dp == 22 || p.dp == 23 || p.dp == 3389)) score += 2;
	if ((features & 2) && p.ttl < 32) score++;
	if ((features & 4) && p.tos & 0xe0) score++;
	if (features & 8) {
		u64 *seen = bpf_map_lookup_elem(&sources, &p.src), one = 1;
		if (!seen) bpf_map_update_elem(&sources, &p.src, &one, BPF_ANY);
		else if (++*seen > rate) score += 4;
	}
	if (score > 6) { hit(200); return XDP_DROP; }
	hit(201 + (u32)verdict);
	return verdict;
}
