// Sections and number iterators: each program returns 0, or the line of what was wrong.
#include "kfuncs.bpf.h"

SEC("tc")
int numbers(struct __sk_buff *skb) {
  struct bpf_iter_num it;
  int sum = 0, *n;
  int made = bpf_iter_num_new(&it, 2, 6);
  while ((n = bpf_iter_num_next(&it))) sum = sum * 10 + *n;
  bpf_iter_num_destroy(&it);
  CHECK(made == 0);
  CHECK(sum == 2345);
  return 0;
}

SEC("tc")
int ranges(struct __sk_buff *skb) {
  struct bpf_iter_num backwards, empty, large, largest, least;
  int a = bpf_iter_num_new(&backwards, 6, 2);
  int none_a = bpf_iter_num_next(&backwards) == 0;
  bpf_iter_num_destroy(&backwards);
  int b = bpf_iter_num_new(&empty, 3, 3);
  int none_b = bpf_iter_num_next(&empty) == 0;
  bpf_iter_num_destroy(&empty);
  int c = bpf_iter_num_new(&large, 0, (8 << 20) + 1);
  int none_c = bpf_iter_num_next(&large) == 0;
  bpf_iter_num_destroy(&large);
  int d = bpf_iter_num_new(&largest, 0x7ffffffe, 0x7fffffff);
  int *only = bpf_iter_num_next(&largest);
  int value = only ? *only : 0;
  int none_d = bpf_iter_num_next(&largest) == 0;
  bpf_iter_num_destroy(&largest);
  int e = bpf_iter_num_new(&least, -2147483647 - 1, -2147483647);
  int *lowest = bpf_iter_num_next(&least);
  int low = lowest ? *lowest : 0;
  bpf_iter_num_destroy(&least);
  CHECK(a == -22);
  CHECK(none_a);
  CHECK(b == 0);
  CHECK(none_b);
  CHECK(c == -7);
  CHECK(none_c);
  CHECK(d == 0);
  CHECK(value == 0x7ffffffe);
  CHECK(none_d);
  CHECK(e == 0);
  CHECK(low == -2147483647 - 1);
  return 0;
}

SEC("tc")
int sections(struct __sk_buff *skb) {
  unsigned long outer, inner;
  bpf_preempt_disable();
  bpf_preempt_disable();
  bpf_preempt_enable();
  bpf_preempt_enable();
  bpf_local_irq_save(&outer);
  bpf_local_irq_save(&inner);
  bpf_local_irq_restore(&inner);
  bpf_local_irq_restore(&outer);
  return 0;
}

SEC("syscall")
int rcu_section(void *ctx) {
  bpf_rcu_read_lock();
  bpf_rcu_read_unlock();
  return 0;
}

char _license[] SEC("license") = "GPL";
