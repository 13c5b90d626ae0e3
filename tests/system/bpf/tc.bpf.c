// tc programs of the tests: each counts what it sees in a variable of its own.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

// enum tcx_action_base, which Debian 12's headers do not have
#define TCX_NEXT -1
#define TCX_PASS 0
#define TCX_DROP 2

volatile unsigned int seen_next = 0, seen_drop = 0, seen_ok = 0;

SEC("tc")
int go_on(struct __sk_buff* skb) {
  seen_next++;
  return TCX_NEXT;
}

SEC("tc")
int accept(struct __sk_buff* skb) {
  seen_ok++;
  return TCX_PASS;
}

// ICMP echoes are dropped, the rest goes on.
SEC("tc")
int drop_icmp(struct __sk_buff* skb) {
  void* data = (void*)(long)skb->data;
  void* end = (void*)(long)skb->data_end;
  if (data + 24 > end || *(unsigned short*)(data + 12) != 0x0008 || *(unsigned char*)(data + 23) != 1)
    return TCX_NEXT;
  seen_drop++;
  return TCX_DROP;
}

unsigned int out_ifindex SEC(".data.target") = 0;

SEC("tc")
int elsewhere(struct __sk_buff* skb) {
  return bpf_redirect(out_ifindex, 0);
}

SEC("tc")
int mirror(struct __sk_buff* skb) {
  bpf_clone_redirect(skb, out_ifindex, 0);
  return TCX_NEXT;
}

char _license[] SEC("license") = "GPL";
