// Objects, references to them, and lists that own them: each program returns 0, or the line of what was wrong.
// They run in this order.
#include "kfuncs.bpf.h"

struct item {
  struct bpf_list_node node;
  long number;
  struct bpf_refcount refs;
};
struct plain {
  long a, b[3];
};
struct holder {
  long number;
  struct plain kptr *inside;
};
struct value {
  struct plain kptr *plain;
  struct holder kptr *holder;
  struct item kptr *item;
  long tail;
};
struct list_value {
  struct bpf_spin_lock lock;
  struct bpf_list_head head contains(item, node);
  long number;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, struct value);
} array SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, int);
  __type(value, struct value);
} hash SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 64);
  __type(key, int);
  __type(value, struct value);
} lru SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct list_value);
} lists SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head contains(item, node);

SEC("tc")
int objects_keep_what_is_stored(struct __sk_buff *skb) {
  struct plain *p = bpf_obj_new(struct plain), *q = bpf_obj_new(struct plain);
  long sum = 0;
  if (p && q) {
    p->a = 7;
    p->b[2] = 30;
    q->a = q->b[2] = 0;
    sum = p->a + p->b[2];
  }
  if (p) bpf_obj_drop(p);
  if (q) bpf_obj_drop(q);
  CHECK(sum == 37);
  return 0;
}

SEC("tc")
int references_are_counted(struct __sk_buff *skb) {
  struct item *a = bpf_obj_new(struct item);
  if (!a) return __LINE__;
  struct item *b = bpf_refcount_acquire(a);
  a->number = 5;
  bpf_obj_drop(a);
  long number = b->number;
  bpf_obj_drop(b);
  CHECK(number == 5);
  return 0;
}

SEC("tc")
int lists_keep_their_order(struct __sk_buff *skb) {
  struct bpf_list_node *n;
  int i, order = 0;
#pragma unroll
  for (i = 1; i <= 4; ++i) {
    struct item *it = bpf_obj_new(struct item);
    if (!it) return __LINE__;
    it->number = i;
    bpf_spin_lock(&lock);
    if (i & 1)
      bpf_list_push_front(&head, &it->node);
    else
      bpf_list_push_back(&head, &it->node);
    bpf_spin_unlock(&lock);
  }
  long first = 0, last = 0;
  bpf_spin_lock(&lock);
  n = bpf_list_front(&head);
  if (n) first = container_of(n, struct item, node)->number;
  n = bpf_list_back(&head);
  if (n) last = container_of(n, struct item, node)->number;
  bpf_spin_unlock(&lock);
#pragma unroll
  for (i = 0; i < 4; ++i) {
    bpf_spin_lock(&lock);
    n = i == 3 ? bpf_list_pop_back(&head) : bpf_list_pop_front(&head);
    bpf_spin_unlock(&lock);
    if (!n) return __LINE__;
    struct item *it = container_of(n, struct item, node);
    order = order * 10 + it->number;
    bpf_obj_drop(it);
  }
  bpf_spin_lock(&lock);
  n = bpf_list_pop_front(&head);
  bpf_spin_unlock(&lock);
  if (n) {
    bpf_obj_drop(container_of(n, struct item, node));
    return __LINE__;
  }
  CHECK(first == 3);
  CHECK(last == 4);
  CHECK(order == 3124);
  return 0;
}

SEC("tc")
int nodes_are_in_one_list_only(struct __sk_buff *skb) {
  struct item *a = bpf_obj_new(struct item);
  if (!a) return __LINE__;
  struct item *b = bpf_refcount_acquire(a);
  bpf_spin_lock(&lock);
  int once = bpf_list_push_front(&head, &a->node);
  int twice = bpf_list_push_front(&head, &b->node);
  struct bpf_list_node *n = bpf_list_pop_front(&head);
  bpf_spin_unlock(&lock);
  if (!n) return __LINE__;
  bpf_obj_drop(container_of(n, struct item, node));
  CHECK(once == 0);
  CHECK(twice == -22);
  return 0;
}

SEC("tc")
int global_lists_may_stay_full(struct __sk_buff *skb) {
  struct item *it = bpf_obj_new(struct item);
  if (!it) return __LINE__;
  bpf_spin_lock(&lock);
  bpf_list_push_back(&head, &it->node);
  bpf_spin_unlock(&lock);
  return 0;
}

static int exchange(struct value *v) {
  struct holder *h = bpf_obj_new(struct holder), *old;
  struct plain *p = bpf_obj_new(struct plain), *none;
  if (!h || !p) {
    if (h) bpf_obj_drop(h);
    if (p) bpf_obj_drop(p);
    return __LINE__;
  }
  p->a = 21;
  h->number = 42;
  none = bpf_kptr_xchg(&h->inside, p);
  if (none) {
    bpf_obj_drop(none);
    bpf_obj_drop(h);
    return __LINE__;
  }
  old = bpf_kptr_xchg(&v->holder, h);
  if (old) bpf_obj_drop(old);
  return old ? __LINE__ : 0;
}

SEC("tc")
int values_own_what_is_put_into_them(struct __sk_buff *skb) {
  int key = 0;
  struct value *v = bpf_map_lookup_elem(&array, &key);
  if (!v) return __LINE__;
  int line = exchange(v);
  if (line) return line;
  struct holder *h = bpf_kptr_xchg(&v->holder, 0);
  if (!h) return __LINE__;
  long number = h->number;
  struct plain *p = bpf_kptr_xchg(&h->inside, 0);
  long a = p ? p->a : 0;
  if (p) bpf_obj_drop(p);
  bpf_obj_drop(h);
  CHECK(number == 42);
  CHECK(a == 21);
  return exchange(v);
}

SEC("tc")
int updates_let_go(struct __sk_buff *skb) {
  struct value zero = {.tail = 9};
  int key = 0;
  CHECK(bpf_map_update_elem(&array, &key, &zero, 0) == 0);
  struct value *v = bpf_map_lookup_elem(&array, &key);
  if (!v) return __LINE__;
  CHECK(v->tail == 9);
  struct holder *h = bpf_kptr_xchg(&v->holder, 0);
  if (h) {
    bpf_obj_drop(h);
    return __LINE__;
  }
  return exchange(v);
}

static int fill(void *map, int key) {
  struct value zero = {};
  CHECK(bpf_map_update_elem(map, &key, &zero, 0) == 0);
  struct value *v = bpf_map_lookup_elem(map, &key);
  if (!v) return __LINE__;
  return exchange(v);
}

SEC("tc")
int elements_let_go(struct __sk_buff *skb) {
  int key = 1, line = fill(&hash, 1);
  if (line) return line;
  struct value *v = bpf_map_lookup_elem(&hash, &key);
  if (!v) return __LINE__;
  CHECK(bpf_map_delete_elem(&hash, &key) == 0);
  struct holder *h = bpf_kptr_xchg(&v->holder, 0);
  if (h) {  // still seen, but empty
    bpf_obj_drop(h);
    return __LINE__;
  }
  line = fill(&hash, 2);
  if (line) return line;
  return fill(&hash, 2);  // replaced
}

SEC("tc")
int evicted_elements_let_go(struct __sk_buff *skb) {
  struct bpf_iter_num it;
  int *n, line = 0;
  bpf_iter_num_new(&it, 0, 300);
  while ((n = bpf_iter_num_next(&it)))
    if (!line) line = fill(&lru, *n);
  bpf_iter_num_destroy(&it);
  return line;
}

SEC("tc")
int lists_in_elements_let_go(struct __sk_buff *skb) {
  struct list_value zero = {.number = 3};
  int key = 5;
  CHECK(bpf_map_update_elem(&lists, &key, &zero, 0) == 0);
  struct list_value *v = bpf_map_lookup_elem(&lists, &key);
  if (!v) return __LINE__;
  CHECK(v->number == 3);
  struct item *a = bpf_obj_new(struct item);
  if (!a) return __LINE__;
  struct item *b = bpf_obj_new(struct item);
  if (!b) {
    bpf_obj_drop(a);
    return __LINE__;
  }
  bpf_spin_lock(&v->lock);
  bpf_list_push_back(&v->head, &a->node);
  bpf_list_push_back(&v->head, &b->node);
  bpf_spin_unlock(&v->lock);
  CHECK(bpf_map_delete_elem(&lists, &key) == 0);
  bpf_spin_lock(&v->lock);
  struct bpf_list_node *n = bpf_list_pop_front(&v->head);
  bpf_spin_unlock(&v->lock);
  if (n) {
    bpf_obj_drop(container_of(n, struct item, node));
    return __LINE__;
  }
  return 0;
}

SEC("tc")
int removed_elements_still_let_go(struct __sk_buff *skb) {
  int key = 3, line = fill(&hash, 3);
  if (line) return line;
  struct value *v = bpf_map_lookup_elem(&hash, &key);
  if (!v) return __LINE__;
  CHECK(bpf_map_delete_elem(&hash, &key) == 0);
  return exchange(v);
}

struct counter {
  long n;
};
struct percpu_value {
  struct counter percpu_kptr *counter;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, int);
  __type(value, struct percpu_value);
} counters SEC(".maps");

SEC("tc")
int objects_of_each_cpu(struct __sk_buff *skb) {
  int key = 0;
  struct percpu_value *v = bpf_map_lookup_elem(&counters, &key);
  if (!v) return __LINE__;
  struct counter percpu_kptr *made = bpf_percpu_obj_new(struct counter), *old;
  if (!made) return __LINE__;
  old = bpf_kptr_xchg(&v->counter, made);
  if (old) {
    bpf_percpu_obj_drop(old);
    return __LINE__;
  }
  struct counter percpu_kptr *held = v->counter;
  if (!held) return __LINE__;
  struct counter *mine = (struct counter *)bpf_this_cpu_ptr(held);
  mine->n = 5;
  struct counter *same = (struct counter *)bpf_per_cpu_ptr(held, bpf_get_smp_processor_id());
  if (!same) return __LINE__;
  CHECK(same->n == 5);
  CHECK(bpf_per_cpu_ptr(held, 100000) == 0);
  return 0;
}

char _license[] SEC("license") = "GPL";
