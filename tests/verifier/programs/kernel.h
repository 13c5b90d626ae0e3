// What the programs of this folder need of the kernel's types and functions, without vmlinux.h.
#pragma once
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>  // after the header whose types it uses

#define container(ptr, type, member) ((type*)((char*)(ptr) - __builtin_offsetof(type, member)))
#define private_section(name) SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
#define contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))

struct bpf_rb_root {
  __u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_rb_node {
  __u64 opaque[4];
} __attribute__((aligned(8)));
struct bpf_list_head {
  __u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
  __u64 opaque[3];
} __attribute__((aligned(8)));
struct bpf_refcount {
  __u32 opaque[1];
} __attribute__((aligned(4)));
struct bpf_iter_num {
  __u64 opaque[1];
} __attribute__((aligned(8)));
struct bpf_wq {
  __u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_task_work {
  __u64 opaque;
} __attribute__((aligned(8)));
struct bpf_res_spin_lock {
  __u32 val;
};
struct task_struct {
  int pid;
};
struct bpf_map {
  __u32 id;
};

extern void* bpf_obj_new_impl(__u64 type_id, void* meta) __ksym;
extern void bpf_obj_drop_impl(void* object, void* meta) __ksym;
extern void* bpf_refcount_acquire_impl(void* object, void* meta) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root* root, struct bpf_rb_node* node,
                               _Bool (*less)(struct bpf_rb_node*, const struct bpf_rb_node*), void* meta,
                               __u64 off) __ksym;
extern struct bpf_rb_node* bpf_rbtree_remove(struct bpf_rb_root* root, struct bpf_rb_node* node) __ksym;
extern struct bpf_rb_node* bpf_rbtree_first(struct bpf_rb_root* root) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head* head, struct bpf_list_node* node, void* meta,
                                    __u64 off) __ksym;
extern struct bpf_list_node* bpf_list_pop_back(struct bpf_list_head* head) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern void bpf_local_irq_save(unsigned long* flags) __ksym;
extern void bpf_local_irq_restore(unsigned long* flags) __ksym;
extern void bpf_throw(__u64 cookie) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num* it, int start, int end) __ksym;
extern int* bpf_iter_num_next(struct bpf_iter_num* it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num* it) __ksym;

extern int bpf_res_spin_lock(struct bpf_res_spin_lock* lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock* lock) __ksym;
extern int bpf_res_spin_lock_irqsave(struct bpf_res_spin_lock* lock, unsigned long* flags) __ksym;
extern void bpf_res_spin_unlock_irqrestore(struct bpf_res_spin_lock* lock, unsigned long* flags) __ksym;
extern int bpf_wq_init(struct bpf_wq* wq, void* map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq* wq, unsigned int flags) __ksym;
extern int bpf_wq_set_callback_impl(struct bpf_wq* wq, int (*callback)(void* map, int* key, void* value),
                                    unsigned int flags, void* aux) __ksym;
extern struct task_struct* bpf_task_from_pid(__s32 pid) __ksym;
extern void bpf_task_release(struct task_struct* task) __ksym;
extern int bpf_task_work_schedule_signal_impl(struct task_struct* task, struct bpf_task_work* tw, void* map,
                                              int (*callback)(struct bpf_map* map, void* key, void* value),
                                              void* aux) __ksym;
extern int bpf_copy_from_user_str(void* to, __u32 size, const void* from, __u64 flags) __ksym;

#define obj_new(type) ((type*)bpf_obj_new_impl(__builtin_btf_type_id(*(type*)0, 0), 0))
#define obj_drop(ptr) bpf_obj_drop_impl(ptr, 0)
