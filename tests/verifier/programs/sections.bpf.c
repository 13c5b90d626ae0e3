// RCU, preemption and interrupts: sections that must be left, also by exceptions; dynptrs and iterators in
// them.
#include "kernel.h"

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

SEC("tc") int dynptr_submitted(void* ctx) {
  struct bpf_dynptr p;
  bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
  bpf_ringbuf_submit_dynptr(&p, 0);
  return 0;
}
SEC("tc") int dynptr_leaks(void* ctx) {
  struct bpf_dynptr p;
  bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
  return 0;
}
SEC("tc") int dynptr_thrown_away(void* ctx) {
  struct bpf_dynptr p;
  bpf_ringbuf_reserve_dynptr(&ring, 8, 0, &p);
  bpf_throw(1);
  return 0;
}
SEC("tc") int throws(void* ctx) {
  if (bpf_get_prandom_u32() & 1) bpf_throw(3);
  return 0;
}
SEC("cgroup_skb/ingress") int throws_out_of_range(void* ctx) {
  if (bpf_get_prandom_u32() & 1) bpf_throw(3);
  return 1;
}
__noinline int handler(__u64 cookie) { return cookie & 1; }
SEC("cgroup_skb/ingress") __attribute__((btf_decl_tag("exception_callback:handler"))) int handled(void* ctx) {
  if (bpf_get_prandom_u32() & 1) bpf_throw(3);
  return 1;
}
__noinline static int subprog_throws(int x) {
  if (x) bpf_throw(0);
  return x;
}
SEC("tc") int thrown_from_below(void* ctx) { return subprog_throws(bpf_get_prandom_u32()); }
SEC("tc") int thrown_in_a_section(void* ctx) {
  bpf_rcu_read_lock();
  subprog_throws(bpf_get_prandom_u32());
  bpf_rcu_read_unlock();
  return 0;
}
static int throwing_callback(__u32 i, void* data) {
  bpf_throw(0);
  return 0;
}
SEC("tc") int thrown_from_a_callback(void* ctx) {
  int n = 0;
  return bpf_loop(4, throwing_callback, &n, 0);
}
SEC("tc") int iterator_thrown_away(void* ctx) {
  struct bpf_iter_num it;
  bpf_iter_num_new(&it, 0, 3);
  bpf_throw(0);
  return 0;
}
SEC("tc") int preemption_left_off(void* ctx) {
  bpf_preempt_disable();
  return 0;
}
SEC("tc") int preemption_back_twice(void* ctx) {
  bpf_preempt_disable();
  bpf_preempt_enable();
  bpf_preempt_enable();
  return 0;
}
SEC("tc") int irq_left_off(void* ctx) {
  unsigned long flags;
  bpf_local_irq_save(&flags);
  return 0;
}
SEC("syscall") int sleeps_without_interrupts(void* ctx) {
  unsigned long flags;
  char text[8];
  bpf_local_irq_save(&flags);
  bpf_copy_from_user_str(text, 8, (void*)8, 0);
  bpf_local_irq_restore(&flags);
  return 0;
}
SEC("syscall") int sleeps_in_rcu(void* ctx) {
  char text[8];
  bpf_rcu_read_lock();
  bpf_copy_from_user(text, 8, (void*)8);
  bpf_rcu_read_unlock();
  return 0;
}
static int counts(__u32 i, void* data) {
  ++*(int*)data;
  return 0;
}
static int stops_with_2(__u32 i, void* data) { return 2; }
SEC("tc") int loop_counts(void* ctx) {
  int n = 0;
  bpf_loop(100, counts, &n, 0);
  return n;
}
SEC("tc") int loop_callback_returns_2(void* ctx) {
  int n = 0;
  bpf_loop(100, stops_with_2, &n, 0);
  return n;
}
SEC("tc") int preemption_off_in_a_loop(void* ctx) {
  struct bpf_iter_num it;
  bpf_iter_num_new(&it, 0, 3);
  while (bpf_iter_num_next(&it)) bpf_preempt_disable();
  bpf_iter_num_destroy(&it);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
