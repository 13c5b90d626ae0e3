// A program whose functions others are attached to, or replace: see extensions.bpf.c.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

__attribute__((noinline)) int of_context(struct xdp_md* ctx) {
  volatile int result = 1;
  return result + (ctx->ingress_ifindex == 3);
}

__attribute__((noinline)) int of_numbers(int a, long b) {
  volatile int result = a;
  return result + b;
}

__attribute__((noinline)) int moves_packet(struct xdp_md* ctx) { return bpf_xdp_adjust_head(ctx, 0); }

static __attribute__((noinline)) int of_pointer(int* number) {
  volatile int result = *number;
  return result;
}

SEC("xdp")
int target(struct xdp_md* ctx) {
  int number = 3;
  return of_context(ctx) + of_numbers(1, 2) + moves_packet(ctx) + of_pointer(&number);
}
