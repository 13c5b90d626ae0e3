/* Map operations, one program each; `NAME_base` is the same program without the operation, so that a
 * difference of the two is the operation alone. A run that did what it should returns XDP_PASS. */
#include "bench.h"

#define ENTRIES 65536
#define ROUTES 16384
#define MAP(name, kind, key_type, value_type, entries, flags) \
	struct {                                              \
		__uint(type, kind);                           \
		__uint(max_entries, entries);                 \
		__uint(map_flags, flags);                     \
		__type(key, key_type);                        \
		__type(value, value_type);                    \
	} name SEC(".maps")

struct route { u32 prefix; u32 address; };
struct plain { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 16); __type(key, u32); __type(value, u64); };

MAP(flows, BPF_MAP_TYPE_HASH, struct key5, u64, ENTRIES, 0);
MAP(room, BPF_MAP_TYPE_HASH, struct key5, u64, ENTRIES, 0);
MAP(percpu_flows, BPF_MAP_TYPE_PERCPU_HASH, struct key5, u64, ENTRIES, 0);
MAP(lru_flows, BPF_MAP_TYPE_LRU_HASH, struct key5, u64, 2 * ENTRIES, 0);
MAP(lru_full, BPF_MAP_TYPE_LRU_HASH, struct key5, u64, ENTRIES, 0);
MAP(routes, BPF_MAP_TYPE_LPM_TRIE, struct route, u64, ROUTES, BPF_F_NO_PREALLOC);
MAP(array, BPF_MAP_TYPE_ARRAY, u32, u64, 256, 0);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 256, 0);
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 20); } ring SEC(".maps");
struct plain inner SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct plain);
} outer SEC(".maps") = { .values = { &inner, &inner, &inner, &inner } };

/* One number a CPU: two threads do not share it. */
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); } numbers SEC(".maps");

static __always_inline u64 next_number(void)
{
	u32 zero = 0;
	u64 *n = bpf_map_lookup_elem(&numbers, &zero);
	return n ? (*n)++ : 0;
}

/* Flow i, as the bench fills them in; its fields are stored one by one, as a parser does. */
static __always_inline void flow(struct key5 *k, u32 i)
{
	k->src = __builtin_bswap32(0x0a000000u + i);
	k->dst = 0x0100a8c0;
	k->sp = __builtin_bswap16((u16)(1024 + (i & 0x7fff)));
	k->dp = 0x5000;
	k->proto = 6;
	k->pad[0] = k->pad[1] = k->pad[2] = 0;
}
static __always_inline u32 any_flow(void) { return (u32)(next_number() * 0x9E3779B1u) >> 16; }

#define KEEP(what) asm volatile("" : : "r"(what) : "memory")
#define BENCH(name) SEC("xdp") int name(struct xdp_md *ctx)

BENCH(hash_hot_base) { struct key5 k; flow(&k, 7); KEEP(&k); return XDP_PASS; }
BENCH(hash_hot) { struct key5 k; flow(&k, 7); KEEP(&k); u64 *v = bpf_map_lookup_elem(&flows, &k); return v && *v == 7 ? XDP_PASS : XDP_DROP; }

BENCH(hash_random_base) { struct key5 k; u32 i = any_flow(); flow(&k, i); KEEP(&k); return XDP_PASS; }
BENCH(hash_random) { struct key5 k; u32 i = any_flow(); flow(&k, i); u64 *v = bpf_map_lookup_elem(&flows, &k); return v && *v == i ? XDP_PASS : XDP_DROP; }
BENCH(percpu_hash_random) { struct key5 k; u32 i = any_flow(); flow(&k, i); u64 *v = bpf_map_lookup_elem(&percpu_flows, &k); if (!v) return XDP_DROP; ++*v; return XDP_PASS; }
BENCH(lru_lookup_random) { struct key5 k; u32 i = any_flow(); flow(&k, i); u64 *v = bpf_map_lookup_elem(&lru_flows, &k); return v && *v == i ? XDP_PASS : XDP_DROP; }

BENCH(hash_update_base) { struct key5 k; u32 i = any_flow(); flow(&k, i); u64 v = i; KEEP(&k); KEEP(&v); return XDP_PASS; }
BENCH(hash_update) { struct key5 k; u32 i = any_flow(); flow(&k, i); u64 v = i; return bpf_map_update_elem(&flows, &k, &v, BPF_ANY) ? XDP_DROP : XDP_PASS; }

BENCH(insert_delete_base) { struct key5 k; flow(&k, (u32)next_number() & 0xffff); u64 v = 1; KEEP(&k); KEEP(&v); return XDP_PASS; }
BENCH(insert_delete)
{
	struct key5 k;
	u64 v = 1;
	flow(&k, (u32)next_number() & 0xffff);
	k.pad[0] = (u8)bpf_get_smp_processor_id();
	if (bpf_map_update_elem(&room, &k, &v, BPF_ANY)) return XDP_DROP;
	return bpf_map_delete_elem(&room, &k) ? XDP_DROP : XDP_PASS;
}

/* Twice as many flows as there is room for. */
BENCH(lru_update_base) { struct key5 k; flow(&k, (u32)next_number() & 0x1ffff); u64 v = 1; KEEP(&k); KEEP(&v); return XDP_PASS; }
BENCH(lru_update)
{
	struct key5 k;
	u64 v = 1;
	flow(&k, (u32)next_number() & 0x1ffff);
	return bpf_map_update_elem(&lru_full, &k, &v, BPF_ANY) ? XDP_DROP : XDP_PASS;
}

BENCH(lpm_base) { struct route k = { 32, (u32)(next_number() * 0x9E3779B1u) }; KEEP(&k); return XDP_PASS; }
BENCH(lpm) { struct route k = { 32, (u32)(next_number() * 0x9E3779B1u) }; u64 *v = bpf_map_lookup_elem(&routes, &k); return v && *v ? XDP_PASS : XDP_DROP; }

BENCH(pass_base) { return XDP_PASS; }
BENCH(ringbuf) { u64 *e = bpf_ringbuf_reserve(&ring, 64, 0); if (!e) return XDP_DROP; e[0] = 1; e[7] = 2; bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP); return XDP_PASS; }

BENCH(array_base) { u32 k = 3; KEEP(&k); return XDP_PASS; }
BENCH(array_lookup) { u32 k = 3; KEEP(&k); u64 *v = bpf_map_lookup_elem(&array, &k); return v && *v == 3 ? XDP_PASS : XDP_DROP; }
BENCH(percpu_update) { u32 k = 3; KEEP(&k); u64 *v = bpf_map_lookup_elem(&percpu_array, &k); if (!v) return XDP_DROP; ++*v; return XDP_PASS; }
BENCH(map_in_map)
{
	u32 k = 3;
	void *m = bpf_map_lookup_elem(&outer, &k);
	if (!m) return XDP_DROP;
	u64 *v = bpf_map_lookup_elem(m, &k);
	return v ? XDP_PASS : XDP_DROP;
}
