// Timers and work queues: each program returns 0, or the line of what was wrong; those named check_* say what
// callbacks have done since.
#include "kfuncs.bpf.h"

extern int bpf_wq_init(struct bpf_wq *wq, void *p__map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, int(callback)(void *map, int *key, void *value),
                                    unsigned int flags, void *aux__ign) __ksym;

#define CLOCK_MONOTONIC 1

struct value {
  struct bpf_timer timer;
  long runs, key;
};
struct work {
  struct bpf_wq wq;
  long runs, key;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 4);
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
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, struct work);
} works SEC(".maps");

static int tick(void *map, int *key, struct value *value) {
  value->key = *key;
  if (++value->runs < 3) bpf_timer_start(&value->timer, 1000, 0);
  return 0;
}
static int never(void *map, int *key, struct value *value) {
  value->runs = -1;
  return 0;
}
static int worked(void *map, int *key, void *value) {
  struct work *w = value;
  w->key = *key;
  w->runs++;
  return 0;
}

static struct value *element(void *map, int key) { return bpf_map_lookup_elem(map, &key); }

SEC("tc")
int timers_are_asked_for_in_order(struct __sk_buff *skb) {
  struct value *v = element(&array, 0);
  if (!v) return __LINE__;
  CHECK(bpf_timer_start(&v->timer, 0, 0) == -22);
  CHECK(bpf_timer_cancel(&v->timer) == -22);
  CHECK(bpf_timer_set_callback(&v->timer, never) == -22);
  CHECK(bpf_timer_init(&v->timer, &array, 2) == -22);
  CHECK(bpf_timer_init(&v->timer, &array, 16) == -22);
  CHECK(bpf_timer_init(&v->timer, &array, CLOCK_MONOTONIC) == 0);
  CHECK(bpf_timer_init(&v->timer, &array, CLOCK_MONOTONIC) == -16);
  CHECK(bpf_timer_start(&v->timer, 0, 0) == -22);
  CHECK(bpf_timer_set_callback(&v->timer, never) == 0);
  CHECK(bpf_timer_start(&v->timer, 0, 4) == -22);
  CHECK(bpf_timer_cancel(&v->timer) == 0);
  CHECK(bpf_timer_start(&v->timer, 0, 0) == -22);
  CHECK(bpf_timer_set_callback(&v->timer, never) == 0);
  CHECK(bpf_timer_start(&v->timer, 1000000000000, 0) == 0);
  CHECK(bpf_timer_cancel(&v->timer) == 1);
  return 0;
}

static int start(void *map, int key, unsigned long when, unsigned long flags) {
  struct value *v = element(map, key);
  if (!v) return __LINE__;
  if (map == &array) {
    CHECK(bpf_timer_init(&v->timer, &array, CLOCK_MONOTONIC) == 0);
  } else {
    CHECK(bpf_timer_init(&v->timer, &hash, CLOCK_MONOTONIC) == 0);
  }
  CHECK(bpf_timer_set_callback(&v->timer, tick) == 0);
  CHECK(bpf_timer_start(&v->timer, when, flags) == 0);
  return 0;
}

SEC("tc")
int timers_start(struct __sk_buff *skb) {
  int line = start(&array, 1, 0, 0);
  if (line) return line;
  line = start(&array, 2, bpf_ktime_get_ns() + 1000000, 1 /* BPF_F_TIMER_ABS */);
  if (line) return line;
  struct value zero = {};
  int key = 77;
  CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
  return start(&hash, 77, 1000, 0);
}

SEC("tc")
int timers_go_with_their_element(struct __sk_buff *skb) {
  struct value zero = {};
  int key = 78;
  CHECK(bpf_map_update_elem(&hash, &key, &zero, 0) == 0);
  int line = start(&hash, 78, 1000000000, 0);
  if (line) return line;
  CHECK(bpf_map_delete_elem(&hash, &key) == 0);
  return 0;
}

SEC("tc")
int timers_may_stay(struct __sk_buff *skb) { return start(&array, 3, 3600000000000, 0); }

SEC("tc")
int works_start(struct __sk_buff *skb) {
  int key = 1;
  struct work *w = bpf_map_lookup_elem(&works, &key);
  if (!w) return __LINE__;
  CHECK(bpf_wq_start(&w->wq, 0) == -22);
  CHECK(bpf_wq_init(&w->wq, &works, 1) == -22);
  CHECK(bpf_wq_init(&w->wq, &works, 0) == 0);
  CHECK(bpf_wq_init(&w->wq, &works, 0) == -16);
  CHECK(bpf_wq_set_callback_impl(&w->wq, worked, 1, 0) == -22);
  CHECK(bpf_wq_set_callback_impl(&w->wq, worked, 0, 0) == 0);
  CHECK(bpf_wq_start(&w->wq, 1) == -22);
  CHECK(bpf_wq_start(&w->wq, 0) == 0);
  return 0;
}

SEC("tc")
int check_timers(struct __sk_buff *skb) {
  struct value *v = element(&array, 1);
  if (!v) return __LINE__;
  CHECK(v->runs == 3);
  CHECK(v->key == 1);
  v = element(&array, 2);
  if (!v) return __LINE__;
  CHECK(v->runs == 3);
  v = element(&hash, 77);
  if (!v) return __LINE__;
  CHECK(v->runs == 3);
  CHECK(v->key == 77);
  v = element(&array, 0);
  if (!v) return __LINE__;
  CHECK(v->runs == 0);
  int key = 1;
  struct work *w = bpf_map_lookup_elem(&works, &key);
  if (!w) return __LINE__;
  CHECK(w->runs == 1);
  CHECK(w->key == 1);
  return 0;
}

char _license[] SEC("license") = "GPL";
