// Resilient locks: each program returns 0, or the line of what was wrong.
#include "kfuncs.bpf.h"

struct bpf_res_spin_lock {
  __u32 val;
} __attribute__((aligned(4)));
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock *lock, unsigned long *flags__irq_flag) __ksym;

struct value {
  struct bpf_res_spin_lock lock;
  int number;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, struct value);
} array SEC(".maps");

static struct value *element(int key) { return bpf_map_lookup_elem(&array, &key); }

SEC("tc")
int locks_are_had(struct __sk_buff *skb) {
  struct value *a = element(0), *b = element(1);
  unsigned long flags;
  if (!a || !b) return __LINE__;
  if (bpf_res_spin_lock(&a->lock)) return __LINE__;
  if (bpf_res_spin_lock(&b->lock)) {
    bpf_res_spin_unlock(&a->lock);
    return __LINE__;
  }
  bpf_res_spin_unlock(&b->lock);
  bpf_res_spin_unlock(&a->lock);
  if (bpf_res_spin_lock_irqsave(&a->lock, &flags)) return __LINE__;
  bpf_res_spin_unlock_irqrestore(&a->lock, &flags);
  return 0;
}

SEC("tc")
int locks_are_not_had_twice(struct __sk_buff *skb) {
  struct value *a = element(0), *again = element(0);
  if (!a || !again) return __LINE__;
  if (bpf_res_spin_lock(&a->lock)) return __LINE__;
  int error = bpf_res_spin_lock(&again->lock);
  if (!error) {
    bpf_res_spin_unlock(&again->lock);
    bpf_res_spin_unlock(&a->lock);
    return __LINE__;
  }
  bpf_res_spin_unlock(&a->lock);
  CHECK(error == -35);
  return 0;
}

char _license[] SEC("license") = "GPL";
