// bpf_throw(): each program returns 0, or the line of what was wrong. What is thrown is the result, or goes to
// the exception callback.
#include "kfuncs.bpf.h"

extern void bpf_throw(__u64 cookie) __ksym;
#define exception_callback(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, 4);
  __uint(value_size, 4);
} programs SEC(".maps");

int state;

__noinline static int deep(struct __sk_buff *skb, long n) {
  volatile long keep = n;
  if (skb->len > 10) bpf_throw(state == 3 ? 0 : __LINE__);
  return keep;
}
__noinline static int middle(struct __sk_buff *skb, long n) {
  volatile long keep[4] = {n, n + 1, n + 2, n + 3};
  int result = deep(skb, keep[1]);
  return result + keep[3];
}
__noinline int global_thrower(__u64 cookie) {
  if (cookie == 77) bpf_throw(0);
  return cookie;
}
__noinline int handle_33(__u64 cookie) { return cookie == 33 ? 0 : __LINE__; }

SEC("tc")
int thrown_is_returned(struct __sk_buff *skb) {
  bpf_throw(0);
  return __LINE__;
}

__noinline static int always(struct __sk_buff *skb) {
  bpf_throw(0);
  return skb->len;
}

SEC("tc")
int calls_what_always_throws(struct __sk_buff *skb) {
  return 1 + always(skb);
}

SEC("tc")
int unwinds_all_frames(struct __sk_buff *skb) {
  state = 3;
  return 1 + middle(skb, skb->len);
}

SEC("tc")
int not_thrown_goes_on(struct __sk_buff *skb) {
  if (global_thrower(5) != 5) return __LINE__;
  return 0;
}

SEC("tc")
int global_functions_throw(struct __sk_buff *skb) {
  int r = global_thrower(77);
  return r ? __LINE__ : __LINE__ + r;
}

SEC("tc")
exception_callback(handle_33)
int callback_decides(struct __sk_buff *skb) {
  if (skb->len) bpf_throw(33);
  return __LINE__;
}

char _license[] SEC("license") = "GPL";
