// Tracked connections, made, found and changed. Run in a network namespace that is the test's own.
#include "kfuncs.bpf.h"

struct nf_conntrack_zone { __u16 id; } __attribute__((preserve_access_index));
union nf_inet_addr { __u32 all[4]; __u32 ip; };
struct nf_conntrack_man { union nf_inet_addr u3; union { __u16 all; } u; __u16 l3num; };
struct nf_conntrack_tuple {
  struct nf_conntrack_man src;
  struct { union nf_inet_addr u3; union { __u16 all; } u; __u8 protonum; __u8 dir; } dst;
} __attribute__((preserve_access_index));
struct nf_conntrack_tuple_hash { struct nf_conntrack_tuple tuple; } __attribute__((preserve_access_index));
struct nf_conn {
  unsigned int timeout;
  struct nf_conntrack_tuple_hash tuplehash[2];
  unsigned long status;
  __u32 mark;
} __attribute__((preserve_access_index));

enum nf_nat_manip_type { NF_NAT_MANIP_SRC, NF_NAT_MANIP_DST };

struct ct_options { int netns_id; int error; __u8 l4proto; __u8 dir; __u16 zone_id; __u8 zone_dir; __u8 reserved[3]; };
struct old_options { int netns_id; int error; __u8 l4proto; __u8 dir; __u8 reserved[2]; };

extern struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct ct_options *, __u32) __ksym;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct ct_options *, __u32) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn *) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_set_status(const struct nf_conn *, __u32) __ksym;
extern int bpf_ct_change_status(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_set_nat_info(struct nf_conn *, union nf_inet_addr *, int port, enum nf_nat_manip_type manip) __ksym;

#define TCP 6
#define UDP 17
#define ICMP 1
#define CONFIRMED 8
#define SEEN_REPLY 2
#define ASSURED 4

/// The error that a lookup gives, or 1 where it found something.
#define LOOKUP_ERROR(tuple, size, options, options_size)                        \
  ({                                                                            \
    struct nf_conn *found = bpf_skb_ct_lookup(skb, tuple, size, (struct ct_options *)(options), options_size); \
    if (found) bpf_ct_release(found);                                           \
    found ? 1 : (options)->error;                                               \
  })

static void make_tuple(struct bpf_sock_tuple *tuple, __u32 last) {
  __builtin_memset(tuple, 0, sizeof *tuple);
  tuple->ipv4.saddr = __builtin_bswap32(0x0a090100 + last);
  tuple->ipv4.daddr = __builtin_bswap32(0x0a090201);
  tuple->ipv4.sport = __builtin_bswap16(4000);
  tuple->ipv4.dport = __builtin_bswap16(53);
}

SEC("tc")
int errors(struct __sk_buff *skb) {
  struct bpf_sock_tuple tuple;
  struct ct_options options = {.netns_id = -1, .l4proto = TCP};
  struct old_options old = {.netns_id = -1, .l4proto = UDP};
  make_tuple(&tuple, 1);
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -2);
  CHECK(options.zone_dir == 3);
  CHECK(LOOKUP_ERROR(&tuple, 12, &old, 12) == -2);
  CHECK(LOOKUP_ERROR(&tuple, 11, &options, 16) == -97);
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 15) == -22);
  options.l4proto = ICMP;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -71);
  options.l4proto = TCP;
  options.netns_id = -2;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -22);
  options.netns_id = 0xf00f;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -64);
  options.netns_id = -1;
  options.reserved[2] = 1;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -22);
  old.reserved[0] = 1;
  CHECK(LOOKUP_ERROR(&tuple, 12, &old, 12) == -22);
  return 0;
}

SEC("tc")
int life(struct __sk_buff *skb) {
  struct bpf_sock_tuple tuple;
  struct ct_options options = {.netns_id = -1, .l4proto = UDP};
  int set, unset;
  make_tuple(&tuple, 2);
  struct nf_conn *made = bpf_skb_ct_alloc(skb, &tuple, 12, &options, 16);
  CHECK(made);
  bpf_ct_set_timeout(made, 10000);
  made->mark = 77;
  set = bpf_ct_set_status(made, SEEN_REPLY);
  unset = bpf_ct_set_status(made, 0);
  struct nf_conn *there = bpf_ct_insert_entry(made);
  CHECK(there);
  unsigned long status = there->status;
  __u32 mark = there->mark;
  bpf_ct_release(there);
  CHECK(set == 0);
  CHECK(unset == -16);
  CHECK((status & (CONFIRMED | SEEN_REPLY)) == (CONFIRMED | SEEN_REPLY));
  CHECK(mark == 77);

  struct nf_conn *found = bpf_skb_ct_lookup(skb, &tuple, 12, &options, 16);
  CHECK(found);
  int dir = options.dir;
  __u32 before = found->timeout;
  int change = bpf_ct_change_timeout(found, 100000);
  __u32 later = found->timeout - before;
  int assure = bpf_ct_change_status(found, CONFIRMED | SEEN_REPLY | ASSURED);
  int back = bpf_ct_change_status(found, CONFIRMED | SEEN_REPLY);
  status = found->status;
  __u16 port = found->tuplehash[1].tuple.src.u.all;
  __u32 address = found->tuplehash[1].tuple.dst.u3.ip;
  mark = found->mark;
  found->mark = 78;
  bpf_ct_release(found);
  CHECK(dir == 0);
  CHECK(change == 0);
  CHECK(later >= 22000 && later <= 91000);  // 90 seconds of 250 to 1000 ticks
  CHECK(assure == 0);
  CHECK(back == -16);
  CHECK(status & ASSURED);
  CHECK(port == __builtin_bswap16(53));
  CHECK(address == tuple.ipv4.saddr);
  CHECK(mark == 77);

  struct bpf_sock_tuple reply = {};
  reply.ipv4.saddr = tuple.ipv4.daddr;
  reply.ipv4.daddr = tuple.ipv4.saddr;
  reply.ipv4.sport = tuple.ipv4.dport;
  reply.ipv4.dport = tuple.ipv4.sport;
  found = bpf_skb_ct_lookup(skb, &reply, 12, &options, 16);
  CHECK(found);
  dir = options.dir;
  mark = found->mark;
  bpf_ct_release(found);
  CHECK(dir == 1);
  CHECK(mark == 78);
  options.zone_id = 9;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -2);
  return 0;
}

/// A second one with the same addresses is none.
SEC("tc")
int twice(struct __sk_buff *skb) {
  struct bpf_sock_tuple tuple;
  struct ct_options options = {.netns_id = -1, .l4proto = UDP};
  make_tuple(&tuple, 3);
  for (int i = 0; i < 2; ++i) {
    struct nf_conn *made = bpf_skb_ct_alloc(skb, &tuple, 12, &options, 16);
    CHECK(made);
    struct nf_conn *there = bpf_ct_insert_entry(made);
    if (there) bpf_ct_release(there);
    CHECK((there == 0) == i);
  }
  return 0;
}

SEC("tc")
int translated(struct __sk_buff *skb) {
  struct bpf_sock_tuple tuple;
  struct ct_options options = {.netns_id = -1, .l4proto = TCP, .zone_id = 10, .zone_dir = 1};
  union nf_inet_addr source = {}, destination = {};
  make_tuple(&tuple, 4);
  source.ip = __builtin_bswap32(0x0a090901);
  destination.ip = __builtin_bswap32(0x0a090902);
  struct nf_conn *made = bpf_skb_ct_alloc(skb, &tuple, 12, &options, 16);
  CHECK(made);
  int a = bpf_ct_set_nat_info(made, &source, 7000, 0);
  int b = bpf_ct_set_nat_info(made, &destination, 8000, 1);
  struct nf_conn *there = bpf_ct_insert_entry(made);
  CHECK(there);
  bpf_ct_release(there);
  CHECK(a == 0);
  CHECK(b == 0);
  struct nf_conn *found = bpf_skb_ct_lookup(skb, &tuple, 12, &options, 16);
  CHECK(found);
  __u32 to = found->tuplehash[1].tuple.dst.u3.ip, from = found->tuplehash[1].tuple.src.u3.ip;
  __u16 to_port = found->tuplehash[1].tuple.dst.u.all, from_port = found->tuplehash[1].tuple.src.u.all;
  bpf_ct_release(found);
  CHECK(to == source.ip);
  CHECK(from == destination.ip);
  CHECK(to_port == __builtin_bswap16(7000));
  CHECK(from_port == __builtin_bswap16(8000));
  options.zone_dir = 2;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -2);
  options.zone_dir = 0;
  options.zone_id = 0;
  CHECK(LOOKUP_ERROR(&tuple, 12, &options, 16) == -2);
  return 0;
}

char _license[] SEC("license") = "GPL";
