/* A layer-4 load balancer: parses Ethernet, VLAN, IPv4, IPv6 with extension headers, TCP, UDP and ICMP errors
 * that quote a flow, finds the service, the connection or a place on the service's ring, and wraps the packet
 * for the real server. The verifier walks some ten thousand instructions of it. */
#include "bench.h"

#define MAP(name, kind, key_type, value_type, entries) \
	struct {                                       \
		__uint(type, kind);                    \
		__uint(max_entries, entries);          \
		__type(key, key_type);                 \
		__type(value, value_type);             \
	} name SEC(".maps")

struct flow { u32 src[4], dst[4]; u16 sp, dp; u8 proto, family, icmp, pad; };
struct service_key { u32 address[4]; u16 port; u8 proto, pad; };
struct service { u32 id, flags, ring_size; };
struct real { u32 address[4]; u8 mac[6], family, flags; };
struct count { u64 packets, bytes; };
struct ip6 { u32 vtcfl; u16 len; u8 next, hop; u32 src[4], dst[4]; };
struct udp { u16 sp, dp, len, csum; };
struct icmp { u8 type, code; u16 csum; u32 rest; };

MAP(services, BPF_MAP_TYPE_HASH, struct service_key, struct service, 512);
MAP(connections, BPF_MAP_TYPE_LRU_HASH, struct flow, u32, 65536);
MAP(rings, BPF_MAP_TYPE_ARRAY, u32, u32, 65536);
MAP(reals, BPF_MAP_TYPE_ARRAY, u32, struct real, 4096);
MAP(service_counts, BPF_MAP_TYPE_PERCPU_ARRAY, u32, struct count, 512);
MAP(reasons, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 32);
MAP(own, BPF_MAP_TYPE_ARRAY, u32, struct real, 2);
struct source { u32 bits, address; };
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source);
	__type(value, u32);
} quarantine SEC(".maps");

enum reason { too_short, bad_version, fragment, no_service, no_real, no_room, unknown_proto, icmp_other, ttl_over, blocked };

static __always_inline int drop(u32 why)
{
	u64 *n = bpf_map_lookup_elem(&reasons, &why);
	if (n) ++*n;
	return XDP_DROP;
}

static __always_inline u32 rot(u32 v, int n) { return v << n | v >> (32 - n); }
static __always_inline u32 mix(u32 a, u32 b, u32 c)
{
	c ^= b; c -= rot(b, 14); a ^= c; a -= rot(c, 11); b ^= a; b -= rot(a, 25);
	c ^= b; c -= rot(b, 16); a ^= c; a -= rot(c, 4); b ^= a; b -= rot(a, 14);
	c ^= b; c -= rot(b, 24);
	return c;
}
static __always_inline u32 hash_flow(const struct flow *f)
{
	u32 h = 0x9e3779b9;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) h = mix(f->src[i], f->dst[i], h);
	return mix(h, (u32)f->sp << 16 | f->dp, f->proto);
}

/* 0 or why not; `*at` moves behind what was read. */
static __always_inline int ports(u8 **at, u8 *end, struct flow *f, int swapped)
{
	if (f->proto == 6) {
		struct tcp *t = (struct tcp *)*at;
		if ((u8 *)(t + 1) > end) return -1;
		f->sp = swapped ? t->dp : t->sp;
		f->dp = swapped ? t->sp : t->dp;
		if ((t->off & bpf_htons(0x0002)) && !swapped) f->pad = 1;
	} else if (f->proto == 17) {
		struct udp *u = (struct udp *)*at;
		if ((u8 *)(u + 1) > end) return -1;
		f->sp = swapped ? u->dp : u->sp;
		f->dp = swapped ? u->sp : u->dp;
	} else {
		return -2;
	}
	return 0;
}

static __always_inline int flow4(u8 *at, u8 *end, struct flow *f, int *why)
{
	struct ip4 *ip = (struct ip4 *)at;
	if ((u8 *)(ip + 1) > end) { *why = too_short; return -1; }
	if (ip->vihl != 0x45) { *why = bad_version; return -1; }
	if (ip->frag & bpf_htons(0x3fff)) { *why = fragment; return -1; }
	if (ip->ttl <= 1) { *why = ttl_over; return -1; }
	f->family = 4;
	f->proto = ip->proto;
	f->src[0] = ip->src;
	f->dst[0] = ip->dst;
	at += sizeof(*ip);
	int swapped = 0;
	if (f->proto == 1) {
		struct icmp *ic = (struct icmp *)at;
		if ((u8 *)(ic + 1) > end) { *why = too_short; return -1; }
		if (ic->type != 3 && ic->type != 11) { *why = icmp_other; return -1; }
		ip = (struct ip4 *)(ic + 1);
		if ((u8 *)(ip + 1) > end) { *why = too_short; return -1; }
		if (ip->vihl != 0x45) { *why = bad_version; return -1; }
		f->icmp = 1;
		f->proto = ip->proto;
		f->src[0] = ip->dst;
		f->dst[0] = ip->src;
		at = (u8 *)(ip + 1);
		swapped = 1;
	}
	int r = ports(&at, end, f, swapped);
	if (r) { *why = r == -1 ? too_short : unknown_proto; return -1; }
	return 0;
}

static __always_inline int flow6(u8 *at, u8 *end, struct flow *f, int *why)
{
	struct ip6 *ip = (struct ip6 *)at;
	if ((u8 *)(ip + 1) > end) { *why = too_short; return -1; }
	if ((ip->vtcfl & 0xf0) != 0x60) { *why = bad_version; return -1; }
	if (ip->hop <= 1) { *why = ttl_over; return -1; }
	f->family = 6;
	__builtin_memcpy(f->src, ip->src, 16);
	__builtin_memcpy(f->dst, ip->dst, 16);
	u8 next = ip->next;
	at += sizeof(*ip);
	int swapped = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 4; i++) {
		if (next == 44) { *why = fragment; return -1; }
		if (next != 0 && next != 43 && next != 60) break;
		if (at + 8 > end) { *why = too_short; return -1; }
		next = at[0];
		at += 8 + ((u32)at[1] & 15) * 8;
	}
	if (next == 58) {
		struct icmp *ic = (struct icmp *)at;
		if ((u8 *)(ic + 1) > end) { *why = too_short; return -1; }
		if (ic->type != 1 && ic->type != 2 && ic->type != 3) { *why = icmp_other; return -1; }
		ip = (struct ip6 *)(ic + 1);
		if ((u8 *)(ip + 1) > end) { *why = too_short; return -1; }
		next = ip->next;
		f->icmp = 1;
		__builtin_memcpy(f->src, ip->dst, 16);
		__builtin_memcpy(f->dst, ip->src, 16);
		at = (u8 *)(ip + 1);
		swapped = 1;
	}
	f->proto = next;
	int r = ports(&at, end, f, swapped);
	if (r) { *why = r == -1 ? too_short : unknown_proto; return -1; }
	return 0;
}

static __always_inline void checksum(struct ip4 *ip)
{
	u32 sum = 0;
	u16 *w = (u16 *)ip;
#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++) sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->csum = (u16)~((sum & 0xffff) + (sum >> 16));
}

static __always_inline int wrap(struct xdp_md *ctx, const struct real *to, const struct flow *f, u32 hash)
{
	u32 zero = to->family == 6;
	struct real *me = bpf_map_lookup_elem(&own, &zero);
	if (!me) return drop(no_real);
	u64 length = (u64)DATA_END(ctx) - (u64)DATA(ctx);
	int six = to->family == 6;
	if (bpf_xdp_adjust_head(ctx, six ? -(int)sizeof(struct ip6) : -(int)sizeof(struct ip4))) return drop(no_room);
	u8 *at = DATA(ctx), *end = DATA_END(ctx);
	struct eth *eh = (struct eth *)at;
	if (at + sizeof(*eh) > end) return drop(too_short);
	__builtin_memcpy(eh->d, to->mac, 6);
	__builtin_memcpy(eh->s, me->mac, 6);
	if (six) {
		struct ip6 *ip = (struct ip6 *)(eh + 1);
		if ((u8 *)(ip + 1) > end) return drop(too_short);
		eh->proto = bpf_htons(0x86dd);
		ip->vtcfl = 0x60 | (hash & 0x0f00);
		ip->len = bpf_htons((u16)(length - sizeof(*eh)));
		ip->next = f->family == 4 ? 4 : 41;
		ip->hop = 64;
		__builtin_memcpy(ip->src, me->address, 16);
		ip->src[3] ^= hash;
		__builtin_memcpy(ip->dst, to->address, 16);
	} else {
		struct ip4 *ip = (struct ip4 *)(eh + 1);
		if ((u8 *)(ip + 1) > end) return drop(too_short);
		eh->proto = bpf_htons(0x0800);
		ip->vihl = 0x45; ip->tos = 0;
		ip->len = bpf_htons((u16)(length - sizeof(*eh) + sizeof(*ip)));
		ip->id = 0; ip->frag = 0; ip->ttl = 64;
		ip->proto = f->family == 4 ? 4 : 41;
		ip->csum = 0;
		ip->src = me->address[0] ^ (hash & 0xffff);
		ip->dst = to->address[0];
		checksum(ip);
	}
	return XDP_TX;
}

SEC("xdp") int verify_balancer(struct xdp_md *ctx)
{
	u8 *at = DATA(ctx), *end = DATA_END(ctx);
	struct flow f = {};
	struct eth *eh = (struct eth *)at;
	int why = 0;
	if (at + sizeof(*eh) > end) return drop(too_short);
	u16 proto = eh->proto;
	at += sizeof(*eh);
#pragma clang loop unroll(full)
	for (int i = 0; i < 2; i++) {
		if (proto != bpf_htons(0x8100) && proto != bpf_htons(0x88a8)) break;
		if (at + 4 > end) return drop(too_short);
		proto = *(u16 *)(at + 2);
		at += 4;
	}
	if (proto == bpf_htons(0x0800)) {
		if (flow4(at, end, &f, &why)) return why == icmp_other ? XDP_PASS : drop(why);
		struct source source = {32, f.src[0]};
		if (bpf_map_lookup_elem(&quarantine, &source)) return drop(blocked);
	} else if (proto == bpf_htons(0x86dd)) {
		if (flow6(at, end, &f, &why)) return why == icmp_other ? XDP_PASS : drop(why);
	} else {
		return XDP_PASS;
	}
	struct service_key key = {};
	__builtin_memcpy(key.address, f.dst, 16);
	key.port = f.dp;
	key.proto = f.proto;
	struct service *service = bpf_map_lookup_elem(&services, &key);
	if (!service) {
		key.port = 0;
		service = bpf_map_lookup_elem(&services, &key);
		if (!service) return XDP_PASS;
		if (!(service->flags & 2)) f.dp = 0;
	}
	int opens = f.pad;
	f.pad = 0;
	if (service->flags & 1) f.sp = 0;
	u32 hash = hash_flow(&f);
	u32 *known = opens ? 0 : bpf_map_lookup_elem(&connections, &f);
	u32 id;
	if (known) {
		id = *known;
	} else {
		u32 slot = (service->id & 0xff) * 256 + hash % 251;
		u32 *ring = bpf_map_lookup_elem(&rings, &slot);
		if (!ring) return drop(no_real);
		id = *ring;
		if (!(service->flags & 4)) bpf_map_update_elem(&connections, &f, &id, BPF_ANY);
	}
	struct real *to = bpf_map_lookup_elem(&reals, &id);
	if (!to) return drop(no_real);
	u32 number = service->id;
	struct count *c = bpf_map_lookup_elem(&service_counts, &number);
	if (c) {
		c->packets++;
		c->bytes += end - DATA(ctx);
	}
	return wrap(ctx, to, &f, hash);
}
