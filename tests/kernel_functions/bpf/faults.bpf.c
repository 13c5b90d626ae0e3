// Loads through pointers that nobody vouches for: they give 0 where nothing can be read (BPF_PROBE_MEM).
#include "kfuncs.bpf.h"

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

struct sk_buff {
  struct sk_buff *next;
  unsigned int len;
} __attribute__((preserve_access_index));

SEC("tc")
int reads_any_number(struct __sk_buff *ctx) {
  int *number = bpf_rdonly_cast((void *)0x1234, 0);
  return *number;
}

SEC("tc")
int reads_a_cast_of_any_number(struct __sk_buff *ctx) {
  struct sk_buff *skb = bpf_rdonly_cast((void *)(unsigned long)ctx->mark, bpf_core_type_id_kernel(struct sk_buff));
  return skb->len;
}

SEC("tc")
int reads_what_is_not_there(struct __sk_buff *ctx) {
  struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
  return skb->next->len;
}

__attribute__((noinline)) int of_any(int *number __attribute__((btf_decl_tag("arg:untrusted")))) { return *number; }

SEC("tc")
int gives_any_number(struct __sk_buff *ctx) { return of_any((int *)(unsigned long)ctx->mark); }

SEC("tc")
int reads_what_is_there(struct __sk_buff *ctx) {
  struct sk_buff *skb = bpf_rdonly_cast(bpf_cast_to_kern_ctx(ctx), bpf_core_type_id_kernel(struct sk_buff));
  return skb->len == ctx->len ? 0 : __LINE__;
}

SEC("tc")
int goes_on_behind_a_fault(struct __sk_buff *ctx) {
  long sum = ctx->len;
  for (int i = 0; i < 8; i++) {
    signed char *byte = bpf_rdonly_cast((void *)(ctx->mark + i * 0x1000000000001), 0);
    sum += *byte;
    sum += *(short *)(byte + 1);
    sum += *(long *)(byte - 5);
  }
  return sum == ctx->len ? 0 : __LINE__;
}

char _license[] SEC("license") = "GPL";
