// Trees that own objects: each program returns 0, or the line of what was wrong.
#include "kfuncs.bpf.h"

struct item {
  struct bpf_rb_node node;
  long number;
};
struct both {
  struct bpf_list_node in_list;
  struct bpf_rb_node in_tree;
  struct bpf_refcount refs;
  long number;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_rb_root root contains(item, node);
private(B) struct bpf_spin_lock lock_both;
private(B) struct bpf_rb_root tree_both contains(both, in_tree);
private(B) struct bpf_list_head list_both contains(both, in_list);

volatile int line;
volatile long last, wrong;

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
  return container_of(a, struct item, node)->number < container_of(b, struct item, node)->number;
}
static _Bool less_both(struct bpf_rb_node *a, const struct bpf_rb_node *b) {
  return container_of(a, struct both, in_tree)->number < container_of(b, struct both, in_tree)->number;
}

static int add(long number) {
  struct item *it = bpf_obj_new(struct item);
  if (!it) return __LINE__;
  it->number = number;
  bpf_spin_lock(&lock);
  bpf_rbtree_add(&root, &it->node, less);
  bpf_spin_unlock(&lock);
  return 0;
}

/// The least number, taken out; -1: there is none.
static long take_first(void) {
  bpf_spin_lock(&lock);
  struct bpf_rb_node *n = bpf_rbtree_first(&root);
  if (!n) {
    bpf_spin_unlock(&lock);
    return -1;
  }
  n = bpf_rbtree_remove(&root, n);
  bpf_spin_unlock(&lock);
  if (!n) return -2;
  struct item *it = container_of(n, struct item, node);
  long number = it->number;
  bpf_obj_drop(it);
  return number;
}

SEC("tc")
int trees_are_sorted(struct __sk_buff *skb) {
  struct bpf_iter_num it;
  int *n;
  bpf_iter_num_new(&it, 0, 200);
  while ((n = bpf_iter_num_next(&it))) line |= add((unsigned)(*n * 37) % 101);
  bpf_iter_num_destroy(&it);
  CHECK(line == 0);
  last = -1;
  bpf_iter_num_new(&it, 0, 200);
  while ((n = bpf_iter_num_next(&it))) {
    long number = take_first();
    wrong |= number < last;
    last = number;
  }
  bpf_iter_num_destroy(&it);
  CHECK(wrong == 0);
  CHECK(take_first() == -1);
  return 0;
}

/// A pattern of the shape that rotations and colours give.
SEC("tc")
int trees_have_the_kernels_shape(struct __sk_buff *skb) {
  struct bpf_iter_num it;
  int *n;
  long shape = 0;
  bpf_iter_num_new(&it, 0, 12);
  while ((n = bpf_iter_num_next(&it))) line |= add((unsigned)(*n * 7) % 13);
  bpf_iter_num_destroy(&it);
  CHECK(line == 0);
  bpf_spin_lock(&lock);
  struct bpf_rb_node *top = bpf_rbtree_root(&root), *left = 0, *right = 0, *a = 0, *b = 0;
  if (top) {
    shape = container_of(top, struct item, node)->number;
    left = bpf_rbtree_left(&root, top);
    right = bpf_rbtree_right(&root, top);
    if (left) {
      shape = shape * 100 + container_of(left, struct item, node)->number;
      a = bpf_rbtree_right(&root, left);
      if (a) shape = shape * 100 + container_of(a, struct item, node)->number;
    }
    if (right) {
      shape = shape * 100 + container_of(right, struct item, node)->number;
      b = bpf_rbtree_left(&root, right);
      if (b) shape = shape * 100 + container_of(b, struct item, node)->number;
    }
  }
  bpf_spin_unlock(&lock);
  CHECK(shape == 701030908);
  return 0;  // what is left goes with the map
}

SEC("tc")
int objects_are_in_a_tree_and_a_list(struct __sk_buff *skb) {
  struct both *a = bpf_obj_new(struct both);
  if (!a) return __LINE__;
  a->number = 4;
  struct both *b = bpf_refcount_acquire(a);
  bpf_spin_lock(&lock_both);
  int tree = bpf_rbtree_add(&tree_both, &a->in_tree, less_both);
  int list = bpf_list_push_back(&list_both, &b->in_list);
  struct bpf_list_node *n = bpf_list_pop_front(&list_both);
  bpf_spin_unlock(&lock_both);
  if (!n) return __LINE__;
  struct both *c = container_of(n, struct both, in_list);
  long number = c->number;
  bpf_spin_lock(&lock_both);
  struct bpf_rb_node *m = bpf_rbtree_remove(&tree_both, &c->in_tree);
  bpf_spin_unlock(&lock_both);
  bpf_obj_drop(c);
  if (!m) return __LINE__;
  struct both *d = container_of(m, struct both, in_tree);
  bpf_spin_lock(&lock_both);
  int again = bpf_rbtree_add(&tree_both, &d->in_tree, less_both);
  bpf_spin_unlock(&lock_both);
  CHECK(tree == 0);
  CHECK(list == 0);
  CHECK(number == 4);
  CHECK(again == 0);
  return 0;
}

char _license[] SEC("license") = "GPL";
