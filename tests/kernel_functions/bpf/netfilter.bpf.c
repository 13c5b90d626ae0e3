// Netfilter programs: their context and their packet.
#include "kfuncs.bpf.h"

#define FOUND __attribute__((preserve_access_index))
struct net_device { int ifindex; } FOUND;
struct sk_buff { unsigned int len; struct net_device *dev; unsigned char *data, *head; __u16 network_header; } FOUND;
struct nf_hook_state { __u8 hook, pf; struct net_device *in, *out; } FOUND;
struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; } FOUND;

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 size) __ksym;
extern _Bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;

/// Only 0 and 1 may be returned: the line of what was wrong goes to the map, `check_` asks for it.
static int wrong;
#define ACCEPT 1
#define NEEDS(condition)  \
  if (!(condition)) {     \
    wrong = __LINE__;     \
    return ACCEPT;        \
  }

SEC("netfilter")
int packets_are_seen_at_the_output_hook(struct bpf_nf_ctx *ctx) {
  struct bpf_dynptr packet;
  __u8 room[20], *bytes;
  NEEDS(ctx->state->hook == 3);
  NEEDS(ctx->state->pf == 2);
  NEEDS(ctx->state->in == 0);
  NEEDS(ctx->state->out == 0);
  NEEDS(ctx->skb->len == 64);
  NEEDS(ctx->skb->dev == 0);
  NEEDS(ctx->skb->data - ctx->skb->head == 64);
  NEEDS(ctx->skb->network_header == 0);
  NEEDS(bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &packet) == 0);
  NEEDS(bpf_dynptr_is_rdonly(&packet));
  NEEDS(bpf_dynptr_size(&packet) == 64);
  bytes = bpf_dynptr_slice(&packet, 40, room, 20);
  NEEDS(bytes && bytes[0] == 0);
  return 0;
}

SEC("tc")
int check_what_was_seen(struct __sk_buff *skb) { return wrong; }

char _license[] SEC("license") = "GPL";
