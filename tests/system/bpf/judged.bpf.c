// Programs for `skep verify` alone: what Linux 6.18 says of each stands in verify_test.sh.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct rule {
  __be32 source, mask;
  __u16 low, high;
  __u8 protocol, action;
};
struct key {
  __be32 source, destination;
  __be16 source_port, destination_port;
  __u32 protocol;
};
struct track {
  __u64 until;
  struct bpf_spin_lock lock;
  __u32 mark;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);  // its size is left to the loader
  __type(key, __u32);
  __type(value, struct rule);
} rules SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 128);
  __type(key, struct key);
  __type(value, struct track);
} tracks SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);  // so is this one's
} events SEC(".maps");

extern int bpf_no_such_kfunc(struct __sk_buff *skb) __ksym;

static long try_rule(__u32 index, void *context) {
  struct {
    struct key key;
    int verdict;
  } *found = context;
  struct rule *rule = bpf_map_lookup_elem(&rules, &index);
  if (!rule) return 1;
  if ((found->key.source & rule->mask) != rule->source) return 0;
  found->verdict = rule->action;
  return 1;
}

SEC("tc")
int firewall(struct __sk_buff *skb) {
  struct {
    struct key key;
    int verdict;
  } found = {};
  if (bpf_skb_load_bytes(skb, 26, &found.key.source, 4)) return TC_ACT_SHOT;
  struct track *track = bpf_map_lookup_elem(&tracks, &found.key);
  if (track) {
    bpf_spin_lock(&track->lock);
    track->until += 1000;
    bpf_spin_unlock(&track->lock);
    skb->mark = track->mark;
    return TC_ACT_OK;
  }
  bpf_loop(200, try_rule, &found, 0);
  return found.verdict ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("xdp")
int extension_headers(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  struct ethhdr *eth = data;
  struct ipv6hdr *ip = data + sizeof(*eth);
  if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IPV6)) return XDP_PASS;
  __u8 next = ip->nexthdr;
  __u8 *at = (void *)(ip + 1);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) break;
    if (at + 2 > (__u8 *)end) return XDP_DROP;
    next = at[0];
    at += (at[1] + 1) * 8;
  }
  return next == IPPROTO_TCP ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int not_compared(struct xdp_md *ctx) {
  __u8 *data = (void *)(long)ctx->data;
  return data[0] ? XDP_PASS : XDP_DROP;
}

SEC("tc")
int leaks(struct __sk_buff *skb) {
  __u64 *event = bpf_ringbuf_reserve(&events, 8, 0);
  if (!event) return 0;
  if (skb->len > 100) return 1;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

SEC("tc")
int missing_kfunc(struct __sk_buff *skb) {
  return bpf_no_such_kfunc(skb);
}

SEC("xdp_before_libbpf_1_0")
int old_section(struct xdp_md *ctx) {
  return ctx->rx_queue_index > 3 ? XDP_DROP : XDP_PASS;
}

struct task_struct {
  int pid;
} __attribute__((preserve_access_index));

__attribute__((noinline)) int pid_of(__attribute__((btf_decl_tag("arg:trusted")))
                                     __attribute__((btf_decl_tag("arg:nullable"))) struct task_struct *task) {
  return task ? task->pid : 0;
}
__attribute__((noinline)) int known_pid_of(__attribute__((btf_decl_tag("arg:trusted")))
                                           struct task_struct *task) {
  return task->pid;
}

SEC("tp_btf/task_newtask")
int trusted(__u64 *ctx) {
  struct task_struct *task = (void *)ctx[0];
  return (pid_of(task) + pid_of(0) + known_pid_of(task)) & 0;
}

SEC("kprobe")
int null_for_trusted(void *ctx) {
  return known_pid_of(0);
}

// Its flag comes as the kernel's own tests write it.
SEC("tc")
__attribute__((btf_decl_tag("comment:test_prog_flags=BPF_F_STRICT_ALIGNMENT"))) int
strictly_aligned(struct __sk_buff *skb) {
  void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
  if (data + 18 > end) return 0;
  *(volatile __u32 *)(data + 1) = 0;
  return 0;
}

SEC("xdp")
int no_field(struct xdp_md *ctx) {
  return *(volatile int *)((char *)ctx + 100);
}

char LICENSE[] SEC("license") = "GPL";
