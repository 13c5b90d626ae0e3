// Functions that run later: work queues, work of a task, timers.
#include "kernel.h"

struct value {
  int data;
  struct bpf_wq wq;
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8);
  __type(key, int);
  __type(value, struct value);
} works SEC(".maps"), others SEC(".maps");
struct tvalue {
  struct bpf_task_work tw;
  long data;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, struct tvalue);
} task_works SEC(".maps"), other_task_works SEC(".maps");
struct timed {
  struct bpf_timer t;
  int data;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, struct timed);
} timers SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, int);
  __type(value, long);
} plain SEC(".maps");

static struct value* get(void) {
  int key = 1;
  return bpf_map_lookup_elem(&works, &key);
}
static int done(void* map, int* key, void* value) {
  struct value* v = value;
  v->data = *key;
  return 0;
}
static int sleeps(void* map, int* key, void* value) {
  char text[8];
  return bpf_copy_from_user(text, sizeof text, (void*)8) & 0;
}
static int returns_1(void* map, int* key, void* value) { return 1; }
static int over_the_end(void* map, int* key, void* value) {
  return ((volatile char*)value)[sizeof(struct value)];
}
static int over_the_key(void* map, int* key, void* value) { return ((volatile int*)key)[1]; }
static int writes_the_key(void* map, int* key, void* value) {
  *key = 1;
  return 0;
}

#define WQ(name, callback)                                          \
  SEC("tc") int name(void* ctx) {                                   \
    struct value* v = get();                                        \
    if (!v || bpf_wq_init(&v->wq, &works, 0)) return 1;             \
    if (bpf_wq_set_callback_impl(&v->wq, callback, 0, 0)) return 2; \
    return bpf_wq_start(&v->wq, 0) != 0;                            \
  }
WQ(wq, done)
WQ(wq_callback_sleeps, sleeps)
WQ(wq_callback_returns_1, returns_1)
WQ(wq_callback_reads_over_the_end, over_the_end)
WQ(wq_callback_reads_over_the_key, over_the_key)
WQ(wq_callback_writes_the_key, writes_the_key)

SEC("tc") int wq_of_another_map(void* ctx) {
  struct value* v = get();
  if (!v || bpf_wq_init(&v->wq, &others, 0)) return 1;
  return 0;
}
SEC("tc") int wq_with_a_number_for_a_map(void* ctx) {
  struct value* v = get();
  if (!v || bpf_wq_init(&v->wq, (void*)8, 0)) return 1;
  return 0;
}
SEC("tc") int not_the_wq(void* ctx) {
  struct value* v = get();
  if (!v || bpf_wq_init((void*)&v->data, &works, 0)) return 1;
  return 0;
}
SEC("tc") int wq_in_a_map_without(void* ctx) {
  int key = 1;
  void* v = bpf_map_lookup_elem(&plain, &key);
  if (!v || bpf_wq_init(v, &plain, 0)) return 1;
  return 0;
}
SEC("tc") int wq_on_the_stack(void* ctx) {
  struct bpf_wq wq = {};
  return bpf_wq_start(&wq, 0) & 1;
}
SEC("tc") int wq_written(void* ctx) {
  struct value* v = get();
  if (v) v->wq.opaque[0] = 1;
  return 0;
}
SEC("kprobe") int wq_in_a_kprobe(void* ctx) {
  struct value* v = get();
  return v != 0;
}
SEC("syscall") int wq_in_syscall(void* ctx) {
  struct value* v = get();
  if (!v || bpf_wq_init(&v->wq, &works, 0)) return 1;
  return bpf_wq_set_callback_impl(&v->wq, sleeps, 0, 0) != 0;
}

static int work_done(struct bpf_map* map, void* key, void* value) {
  struct tvalue* v = value;
  v->data += *(int*)key;
  return 17;
}
static int work_sleeps(struct bpf_map* map, void* key, void* value) {
  char text[8];
  return bpf_copy_from_user(text, sizeof text, (void*)8);
}
#define TASK_WORK(name, map_of, of, callback)                                        \
  SEC("tc") int name(void* ctx) {                                                    \
    int key = 1;                                                                     \
    struct tvalue* v = bpf_map_lookup_elem(&map_of, &key);                           \
    struct task_struct* task;                                                        \
    if (!v) return 1;                                                                \
    task = bpf_task_from_pid(1);                                                     \
    if (!task) return 2;                                                             \
    bpf_task_work_schedule_signal_impl(task, (void*)(of), &task_works, callback, 0); \
    bpf_task_release(task);                                                          \
    return 0;                                                                        \
  }
TASK_WORK(task_work, task_works, &v->tw, work_done)
TASK_WORK(task_work_sleeps, task_works, &v->tw, work_sleeps)
TASK_WORK(task_work_of_another_map, other_task_works, &v->tw, work_done)
TASK_WORK(not_the_task_work, task_works, &v->data, work_done)
TASK_WORK(task_work_on_the_stack, task_works, &key, work_done)

static int ticks(void* map, int* key, struct timed* value) {
  ++value->data;
  return 0;
}
static int timer_sleeps(void* map, int* key, struct timed* value) {
  char text[8];
  return bpf_copy_from_user(text, sizeof text, (void*)8) & 0;
}
#define TIMER(name, section, callback)                     \
  SEC(section) int name(void* ctx) {                       \
    int key = 0;                                           \
    struct timed* v = bpf_map_lookup_elem(&timers, &key);  \
    if (!v || bpf_timer_init(&v->t, &timers, 1)) return 1; \
    if (bpf_timer_set_callback(&v->t, callback)) return 1; \
    return bpf_timer_start(&v->t, 1000, 0) != 0;           \
  }
TIMER(timer, "tc", ticks)
TIMER(timer_callback_sleeps, "syscall", timer_sleeps)
TIMER(timer_in_a_kprobe, "kprobe", ticks)

char LICENSE[] SEC("license") = "GPL";
