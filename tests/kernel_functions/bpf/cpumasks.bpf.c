// Sets of CPUs.
#include "kfuncs.bpf.h"

#define EACCES 13

struct cpumask { unsigned long bits[1]; } __attribute__((preserve_access_index));
struct bpf_cpumask { struct cpumask cpumask; } __attribute__((preserve_access_index));

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern __u32 bpf_cpumask_first(const struct cpumask *cpumask) __ksym;
extern __u32 bpf_cpumask_first_zero(const struct cpumask *cpumask) __ksym;
extern __u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_set_cpu(__u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear_cpu(__u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern _Bool bpf_cpumask_test_cpu(__u32 cpu, const struct cpumask *cpumask) __ksym;
extern _Bool bpf_cpumask_test_and_set_cpu(__u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern _Bool bpf_cpumask_test_and_clear_cpu(__u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_clear(struct bpf_cpumask *cpumask) __ksym;
extern _Bool bpf_cpumask_and(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_or(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_xor(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_equal(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_intersects(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_empty(const struct cpumask *cpumask) __ksym;
extern _Bool bpf_cpumask_full(const struct cpumask *cpumask) __ksym;
extern void bpf_cpumask_copy(struct bpf_cpumask *to, const struct cpumask *from) __ksym;
extern __u32 bpf_cpumask_any_distribute(const struct cpumask *a) __ksym;
extern __u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;
extern int bpf_cpumask_populate(struct cpumask *cpumask, void *src, __SIZE_TYPE__ src__sz) __ksym;

#define set(mask) ((const struct cpumask *)(mask))

struct value {
  struct bpf_cpumask kptr *mask;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, int);
  __type(value, struct value);
  __uint(max_entries, 1);
} kept SEC(".maps");

static __u64 word = 1;

static __always_inline int one_set(struct bpf_cpumask *a) {
  int zero = bpf_cpumask_weight(set(a)) | !bpf_cpumask_empty(set(a)) | bpf_cpumask_test_cpu(0, set(a));
  CHECK(zero == 0);
  CHECK(bpf_cpumask_first(set(a)) >= 1);
  CHECK(bpf_cpumask_first_zero(set(a)) == 0);
  bpf_cpumask_set_cpu(0, a);
  CHECK(bpf_cpumask_test_cpu(0, set(a)));
  CHECK(!bpf_cpumask_test_cpu(100000, set(a)));
  bpf_cpumask_set_cpu(100000, a);
  CHECK(bpf_cpumask_weight(set(a)) == 1);
  CHECK(bpf_cpumask_first(set(a)) == 0);
  CHECK(bpf_cpumask_any_distribute(set(a)) == 0);
  CHECK(bpf_cpumask_test_and_set_cpu(0, a));
  CHECK(bpf_cpumask_test_and_clear_cpu(0, a));
  CHECK(!bpf_cpumask_test_and_clear_cpu(0, a));
  CHECK(!bpf_cpumask_test_and_set_cpu(0, a));
  bpf_cpumask_clear_cpu(0, a);
  CHECK(bpf_cpumask_empty(set(a)));
  bpf_cpumask_setall(a);
  CHECK(bpf_cpumask_full(set(a)));
  CHECK(!bpf_cpumask_empty(set(a)));
  CHECK(bpf_cpumask_weight(set(a)) >= 1);
  bpf_cpumask_clear(a);
  CHECK(bpf_cpumask_empty(set(a)));
  CHECK(bpf_cpumask_populate((void *)a, &word, 8) == 0);
  CHECK(bpf_cpumask_weight(set(a)) == 1);
  CHECK(bpf_cpumask_populate((void *)a, &word, 4) == -EACCES);
  return 0;
}

SEC("syscall")
int cpus_are_in_a_set(void *ctx) {
  struct bpf_cpumask *a = bpf_cpumask_create();
  if (!a) return __LINE__;
  int line = one_set(a);
  bpf_cpumask_release(a);
  return line;
}

static __always_inline int two_sets(struct bpf_cpumask *a, struct bpf_cpumask *b) {
  bpf_cpumask_set_cpu(0, a);
  CHECK(!bpf_cpumask_equal(set(a), set(b)));
  CHECK(!bpf_cpumask_intersects(set(a), set(b)));
  CHECK(bpf_cpumask_subset(set(b), set(a)));
  CHECK(!bpf_cpumask_subset(set(a), set(b)));
  CHECK(!bpf_cpumask_and(b, set(a), set(b)));
  bpf_cpumask_or(b, set(a), set(b));
  CHECK(bpf_cpumask_equal(set(a), set(b)));
  CHECK(bpf_cpumask_first_and(set(a), set(b)) == 0);
  CHECK(bpf_cpumask_and(b, set(a), set(b)));
  bpf_cpumask_xor(b, set(a), set(b));
  CHECK(bpf_cpumask_empty(set(b)));
  bpf_cpumask_copy(b, set(a));
  CHECK(bpf_cpumask_intersects(set(a), set(b)));
  return 0;
}

SEC("syscall")
int sets_are_combined(void *ctx) {
  struct bpf_cpumask *a = bpf_cpumask_create(), *b;
  if (!a) return __LINE__;
  b = bpf_cpumask_create();
  if (!b) {
    bpf_cpumask_release(a);
    return __LINE__;
  }
  int line = two_sets(a, b);
  bpf_cpumask_release(a);
  bpf_cpumask_release(b);
  return line;
}

SEC("syscall")
int sets_are_kept(void *ctx) {
  int zero = 0;
  struct value *v = bpf_map_lookup_elem(&kept, &zero);
  struct bpf_cpumask *a = bpf_cpumask_create(), *b;
  if (!a) return __LINE__;
  b = bpf_cpumask_acquire(a);
  bpf_cpumask_release(a);
  if (!v) {
    bpf_cpumask_release(b);
    return __LINE__;
  }
  bpf_cpumask_set_cpu(0, b);
  b = bpf_kptr_xchg(&v->mask, b);
  if (b) bpf_cpumask_release(b);
  bpf_rcu_read_lock();
  b = v->mask;
  int there = b && bpf_cpumask_test_cpu(0, set(b));
  bpf_rcu_read_unlock();
  CHECK(there);
  return 0;
}

char _license[] SEC("license") = "GPL";
