// Trees, lists and reference counts of objects that programs allocate.
#include "kernel.h"

struct node {
  long key;
  struct bpf_rb_node rb;
  struct bpf_list_node list;
  struct bpf_refcount ref;
};
struct plain {
  long key;
  struct bpf_rb_node rb;
};

private_section(A) struct bpf_spin_lock lock;
private_section(A) struct bpf_rb_root root contains(node, rb);
private_section(A) struct bpf_list_head head contains(node, list);
private_section(B) struct bpf_spin_lock other_lock;
private_section(B) struct bpf_rb_root plain_root contains(plain, rb);

static _Bool less(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  return container(a, struct node, rb)->key < container(b, struct node, rb)->key;
}
static _Bool less_plain(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  return container(a, struct plain, rb)->key < container(b, struct plain, rb)->key;
}

SEC("tc") int tree_add_and_walk(void* ctx) {
  struct node* n = obj_new(struct node);
  struct bpf_rb_node* first;
  long key = 0;
  if (!n) return 1;
  n->key = 5;
  bpf_spin_lock(&lock);
  bpf_rbtree_add_impl(&root, &n->rb, less, 0, 0);
  first = bpf_rbtree_first(&root);
  if (first) key = container(first, struct node, rb)->key;
  bpf_spin_unlock(&lock);
  return key;
}

SEC("tc") int tree_add_remove_drop(void* ctx) {
  struct plain* n = obj_new(struct plain);
  struct bpf_rb_node* gone;
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_plain, 0, 0);
  gone = bpf_rbtree_remove(&plain_root, &n->rb);
  bpf_spin_unlock(&other_lock);
  if (gone) obj_drop(container(gone, struct plain, rb));
  return 0;
}

SEC("tc") int tree_used_after_unlock(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_plain, 0, 0);
  bpf_spin_unlock(&other_lock);
  return n->key;
}

SEC("tc") int tree_of_another_lock(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_plain, 0, 0);
  bpf_spin_unlock(&lock);
  return 0;
}

SEC("tc") int tree_of_another_type(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&lock);
  bpf_rbtree_add_impl(&root, &n->rb, less, 0, 0);
  bpf_spin_unlock(&lock);
  return 0;
}

static _Bool less_removes(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  bpf_rbtree_remove(&plain_root, a);
  return 0;
}
SEC("tc") int callback_removes(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_removes, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

static _Bool less_unlocks(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  bpf_spin_unlock(&other_lock);
  return 0;
}
SEC("tc") int callback_unlocks(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_unlocks, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

static _Bool less_calls(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  return bpf_get_prandom_u32() & 1;
}
SEC("tc") int callback_calls_a_helper(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_calls, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

__noinline static int two(struct bpf_rb_node* a) { return container(a, struct plain, rb)->key ? 2 : 3; }
__attribute__((naked)) static _Bool less_out_of_range(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  asm volatile("r0 = *(u64*)(r1 - 8); exit;");
}
SEC("tc") int callback_returns_anything(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_out_of_range, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

static _Bool less_writes(struct bpf_rb_node* a, const struct bpf_rb_node* b) {
  container(a, struct plain, rb)->key = 7;
  return two(a) == 2;
}
SEC("tc") int callback_writes_the_node(void* ctx) {
  struct plain* n = obj_new(struct plain);
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_writes, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

SEC("tc") int tree_and_list_by_refcount(void* ctx) {
  struct node* n = obj_new(struct node);
  struct node* again;
  struct bpf_list_node* back;
  if (!n) return 1;
  again = bpf_refcount_acquire_impl(n, 0);
  bpf_spin_lock(&lock);
  bpf_rbtree_add_impl(&root, &n->rb, less, 0, 0);
  bpf_list_push_front_impl(&head, &again->list, 0, 0);
  back = bpf_list_pop_back(&head);
  bpf_spin_unlock(&lock);
  if (back) obj_drop(container(back, struct node, list));
  return 0;
}

SEC("tc") int refcounted_node_leaks(void* ctx) {
  struct node* n = obj_new(struct node);
  struct node* again;
  if (!n) return 1;
  bpf_spin_lock(&lock);
  bpf_rbtree_add_impl(&root, &n->rb, less, 0, 0);
  again = bpf_refcount_acquire_impl(n, 0);
  bpf_spin_unlock(&lock);
  return again ? 1 : 0;
}

SEC("tc") int tree_add_in_a_loop(void* ctx) {
  struct bpf_iter_num it;
  int* i;
  bpf_iter_num_new(&it, 0, 8);
  while ((i = bpf_iter_num_next(&it))) {
    struct plain* n = obj_new(struct plain);
    if (!n) break;
    n->key = *i;
    bpf_spin_lock(&other_lock);
    bpf_rbtree_add_impl(&plain_root, &n->rb, less_plain, 0, 0);
    bpf_spin_unlock(&other_lock);
  }
  bpf_iter_num_destroy(&it);
  return 0;
}

SEC("tc") int unchecked_removal_added_again(void* ctx) {
  struct plain* n = obj_new(struct plain);
  struct bpf_rb_node* gone;
  if (!n) return 1;
  bpf_spin_lock(&other_lock);
  bpf_rbtree_add_impl(&plain_root, &n->rb, less_plain, 0, 0);
  gone = bpf_rbtree_remove(&plain_root, &n->rb);
  bpf_rbtree_add_impl(&plain_root, gone, less_plain, 0, 0);
  bpf_spin_unlock(&other_lock);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
