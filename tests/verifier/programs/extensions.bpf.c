// Programs for the functions of target.bpf.c. What is expected of each stands in attached_test.cpp.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

SEC("freplace/of_context")
int same(struct xdp_md* ctx) { return ctx->rx_queue_index + 70000; }

SEC("freplace/of_context")
int reads_like_a_filter(struct xdp_md* ctx) { return *(__u32*)((char*)ctx + 60); }

SEC("freplace/of_context")
int uses_xdp_helper_quietly(struct xdp_md* ctx) {
  char byte;
  return bpf_xdp_load_bytes(ctx, 0, &byte, 1);
}

SEC("freplace/of_context")
int uses_anothers_helper(struct xdp_md* ctx) { return bpf_skb_pull_data((void*)ctx, 1); }

SEC("freplace/of_context")
int moves(struct xdp_md* ctx) { return bpf_xdp_adjust_head(ctx, 0); }

SEC("freplace/moves_packet")
int moves_as_well(struct xdp_md* ctx) { return bpf_xdp_adjust_head(ctx, 0); }

SEC("freplace/of_numbers")
int numbers(int a, long b) { return a * b; }

SEC("freplace/of_numbers")
int too_few(int a) { return a; }

SEC("freplace/of_numbers")
int another_size(long a, long b) { return a * b; }

SEC("freplace/of_numbers")
int not_a_number(struct xdp_md* a, long b) { return b; }

SEC("freplace/of_context")
int another_struct(struct __sk_buff* ctx) { return 0; }

SEC("freplace/of_pointer")
int a_static_function(int* number) { return 0; }

SEC("freplace/target")
int the_program_itself(struct xdp_md* ctx) { return XDP_PASS; }

SEC("fentry/of_context")
int before(__u64* ctx) { return 0; }

SEC("fexit/of_context")
int after(__u64* ctx) { return ctx[1] == 70000 ? 0 : 0; }

SEC("fexit/of_context")
int beyond(__u64* ctx) { return ctx[2] != 0; }

SEC("fexit/of_numbers")
int after_numbers(__u64* ctx) {
  __u64 volatile sum = ctx[0] + ctx[1] + ctx[2];
  (void)sum;
  return 0;
}

SEC("fentry/of_pointer")
int five_numbers(__u64* ctx) {
  __u64 volatile sum = ctx[0] + ctx[4];
  (void)sum;
  return 0;
}

SEC("fentry/of_pointer")
int six_numbers(__u64* ctx) {
  __u64 volatile sum = ctx[5];
  (void)sum;
  return 0;
}

SEC("fentry/of_context")
int returns_one(__u64* ctx) { return 1; }
