// Fields of the kernel's structs, read through their BTF.
#include "kfuncs.bpf.h"

#define FOUND __attribute__((preserve_access_index))
struct ns_common { unsigned int inum; } FOUND;
struct net { struct ns_common ns; __u64 net_cookie; } FOUND;
typedef struct { struct net *net; } possible_net_t;
struct net_device { int ifindex; unsigned int mtu; char name[16]; possible_net_t nd_net; } FOUND;
struct xdp_rxq_info { struct net_device *dev; unsigned int queue_index; } FOUND;
struct xdp_buff { struct xdp_rxq_info *rxq; void *data; void *data_end; unsigned int frame_sz; } FOUND;
struct sock_common { unsigned short skc_family; volatile unsigned char skc_state; } FOUND;
struct sock { struct sock_common __sk_common; } FOUND;
struct sk_buff { unsigned int len; unsigned int end; unsigned char *head; struct net_device *dev; struct sock *sk; } FOUND;
struct skb_shared_info { unsigned char meta_len; unsigned short gso_size; struct sk_buff *frag_list; } FOUND;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
#define cast(pointer, type) ((type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(type)))

SEC("xdp")
int of_xdp(struct xdp_md *ctx) {
  struct xdp_buff *xdp = bpf_cast_to_kern_ctx(ctx);
  struct net_device *dev = xdp->rxq->dev;
  CHECK(dev->ifindex == 1);
  CHECK(dev->mtu == 65536);
  CHECK(dev->name[0] == 'l' && dev->name[1] == 'o' && dev->name[2] == 0);
  CHECK(dev->nd_net.net->ns.inum != 0);
  CHECK(xdp->rxq->queue_index == 0);
  CHECK((long)xdp->data_end - (long)xdp->data == 64);
  CHECK(xdp->frame_sz == 4096);
  return 0;
}

SEC("tc")
int of_skb(struct __sk_buff *ctx) {
  struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
  struct skb_shared_info *info = cast(skb->head + skb->end, struct skb_shared_info);
  CHECK(skb->len == 64);
  CHECK(skb->dev->ifindex == 1);
  CHECK(skb->dev->name[1] == 'o');
  CHECK(skb->dev->nd_net.net->net_cookie == bpf_get_netns_cookie(ctx));
  struct sock *sk = skb->sk;
  CHECK(sk);
  CHECK(sk->__sk_common.skc_family == 0);
  CHECK(info->meta_len == 0);
  CHECK(info->gso_size == 0);
  CHECK(info->frag_list->len == 0);
  CHECK(cast(skb, struct sk_buff)->len == 64);
  return 0;
}

char _license[] SEC("license") = "GPL";
