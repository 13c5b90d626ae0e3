// Resilient spin locks, the sections that they and interrupt flags make, and what may not be done in them.
#include "kernel.h"

struct value {
  long data;
  struct bpf_res_spin_lock lock;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
  __type(key, int);
  __type(value, struct value);
} map SEC(".maps");

private_section(A) struct bpf_res_spin_lock lock_a;
private_section(B) struct bpf_res_spin_lock lock_b;

static struct value* get(int key) { return bpf_map_lookup_elem(&map, &key); }

SEC("tc") int lock_and_unlock(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  bpf_res_spin_unlock(&lock_a);
  return 0;
}
SEC("tc") int two_locks_in_order(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  if (bpf_res_spin_lock(&lock_b)) {
    bpf_res_spin_unlock(&lock_a);
    return 2;
  }
  bpf_res_spin_unlock(&lock_b);
  bpf_res_spin_unlock(&lock_a);
  return 0;
}
SEC("tc") int out_of_order(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  if (bpf_res_spin_lock(&lock_b)) {
    bpf_res_spin_unlock(&lock_a);
    return 2;
  }
  bpf_res_spin_unlock(&lock_a);
  bpf_res_spin_unlock(&lock_b);
  return 0;
}
SEC("tc") int same_lock_twice(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  if (bpf_res_spin_lock(&lock_a)) {
    bpf_res_spin_unlock(&lock_a);
    return 2;
  }
  bpf_res_spin_unlock(&lock_a);
  return 0;
}
SEC("tc") int result_not_checked(void* ctx) {
  bpf_res_spin_lock(&lock_a);
  bpf_res_spin_unlock(&lock_a);
  return 0;
}
SEC("tc") int not_unlocked(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  return 0;
}
SEC("tc") int unlocked_without_lock(void* ctx) {
  bpf_res_spin_unlock(&lock_a);
  return 0;
}
SEC("tc") int another_unlocked(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  bpf_res_spin_unlock(&lock_b);
  return 0;
}
SEC("tc") int helper_under_lock(void* ctx) {
  long r;
  if (bpf_res_spin_lock(&lock_a)) return 1;
  r = bpf_ktime_get_ns();
  bpf_res_spin_unlock(&lock_a);
  return r;
}
SEC("tc") int lock_of_an_element(void* ctx) {
  struct value* v = get(1);
  if (!v || bpf_res_spin_lock(&v->lock)) return 1;
  ++v->data;
  bpf_res_spin_unlock(&v->lock);
  return 0;
}
SEC("tc") int lock_of_another_element(void* ctx) {
  struct value* v = get(1);
  struct value* w = get(2);
  if (!v || !w || bpf_res_spin_lock(&v->lock)) return 1;
  bpf_res_spin_unlock(&w->lock);
  return 0;
}
SEC("tc") int not_the_lock(void* ctx) {
  struct value* v = get(1);
  if (!v || bpf_res_spin_lock((void*)&v->data)) return 1;
  return 0;
}
SEC("tc") int lock_written(void* ctx) {
  struct value* v = get(1);
  if (v) v->lock.val = 1;
  return 0;
}
SEC("tc") int lock_on_the_stack(void* ctx) {
  struct bpf_res_spin_lock lock = {};
  return bpf_res_spin_lock(&lock);
}
SEC("tc") int irqsave(void* ctx) {
  unsigned long flags;
  if (bpf_res_spin_lock_irqsave(&lock_a, &flags)) return 1;
  bpf_res_spin_unlock_irqrestore(&lock_a, &flags);
  return 0;
}
SEC("tc") int irqsave_nested(void* ctx) {
  unsigned long a, b;
  if (bpf_res_spin_lock_irqsave(&lock_a, &a)) return 1;
  if (bpf_res_spin_lock_irqsave(&lock_b, &b)) {
    bpf_res_spin_unlock_irqrestore(&lock_a, &a);
    return 1;
  }
  bpf_res_spin_unlock_irqrestore(&lock_b, &b);
  bpf_res_spin_unlock_irqrestore(&lock_a, &a);
  return 0;
}
SEC("tc") int irqsave_flags_out_of_order(void* ctx) {
  unsigned long a, b;
  if (bpf_res_spin_lock_irqsave(&lock_a, &a)) return 1;
  if (bpf_res_spin_lock_irqsave(&lock_b, &b)) {
    bpf_res_spin_unlock_irqrestore(&lock_a, &a);
    return 1;
  }
  bpf_res_spin_unlock_irqrestore(&lock_b, &a);
  bpf_res_spin_unlock_irqrestore(&lock_a, &b);
  return 0;
}
SEC("tc") int irqsave_given_back_by_local_irq_restore(void* ctx) {
  unsigned long a;
  if (bpf_res_spin_lock_irqsave(&lock_a, &a)) return 1;
  bpf_res_spin_unlock(&lock_a);
  bpf_local_irq_restore(&a);
  return 0;
}
SEC("tc") int irqsave_lock_by_the_other_unlock(void* ctx) {
  unsigned long a;
  bpf_local_irq_save(&a);
  if (bpf_res_spin_lock(&lock_a)) {
    bpf_local_irq_restore(&a);
    return 1;
  }
  bpf_res_spin_unlock_irqrestore(&lock_a, &a);
  return 0;
}
SEC("tc") int flags_of_another_kind(void* ctx) {
  unsigned long a, b;
  bpf_local_irq_save(&b);
  if (bpf_res_spin_lock_irqsave(&lock_a, &a)) {
    bpf_local_irq_restore(&b);
    return 1;
  }
  bpf_res_spin_unlock_irqrestore(&lock_a, &b);
  bpf_local_irq_restore(&a);
  return 0;
}
SEC("tc") int lock_in_a_loop(void* ctx) {
  struct bpf_iter_num it;
  int* i;
  bpf_iter_num_new(&it, 0, 10);
  while ((i = bpf_iter_num_next(&it))) {
    if (bpf_res_spin_lock(&lock_a)) break;
    bpf_res_spin_unlock(&lock_a);
  }
  bpf_iter_num_destroy(&it);
  return 0;
}
SEC("tc") int throws_under_lock(void* ctx) {
  if (bpf_res_spin_lock(&lock_a)) return 1;
  bpf_throw(0);
  return 0;
}
SEC("socket") int in_a_socket_filter(void* ctx) {
  struct value* v = get(1);
  return v != 0;
}
SEC("kprobe") int in_a_kprobe(void* ctx) {
  struct value* v = get(1);
  return v != 0;
}
SEC("raw_tp") int in_a_raw_tracepoint(void* ctx) {
  struct value* v = get(1);
  if (!v || bpf_res_spin_lock(&v->lock)) return 1;
  bpf_res_spin_unlock(&v->lock);
  return 0;
}
SEC("xdp") int in_xdp(void* ctx) {
  struct value* v = get(1);
  if (!v || bpf_res_spin_lock(&v->lock)) return 1;
  bpf_res_spin_unlock(&v->lock);
  return 2;
}

char LICENSE[] SEC("license") = "GPL";
