// The lists and trees that own objects, in the places that programs have for them (struct bpf_list_head,
// bpf_rb_root, ...). The program holds the lock beside the root; only a node's `owner` is read and taken
// without it, as a reference-counted object may be put into two graphs at once (kernel: __bpf_list_add(),
// bpf_rbtree_add_impl() and their siblings).
#pragma once
#include "base/types.hpp"

namespace skep::maps {

/// struct bpf_list_node_kern
struct ListNode {
  ListNode* next;
  ListNode* previous;
  void* owner;  ///< the list's head while it is in one
};
/// struct bpf_list_head: a node without owner that closes the ring. All zero: nobody has used it yet.
struct ListHead {
  ListNode* next;
  ListNode* previous;
};
/// struct bpf_rb_node_kern
struct TreeNode {
  u64 parent_and_color;  ///< bit 0: black
  TreeNode* right;
  TreeNode* left;
  void* owner;  ///< the tree's root while it is in one
};
/// struct bpf_rb_root
struct TreeRoot {
  TreeNode* top;
  TreeNode* first;  ///< the leftmost
};
static_assert(sizeof(ListNode) == 24 && sizeof(ListHead) == 16);
static_assert(sizeof(TreeNode) == 32 && sizeof(TreeRoot) == 16);

/// Takes a node of no list and no tree for the caller, who puts it into one: false if it is in one already.
[[nodiscard]] bool claim_node(void** owner) noexcept;

void list_init(ListHead& head) noexcept;
void list_init(ListNode& node) noexcept;
/// A claimed node becomes the first, or the last.
void list_push(ListHead& head, ListNode& node, bool last) noexcept;
/// The first node, or the last, or nullptr; it stays.
[[nodiscard]] ListNode* list_end(const ListHead& head, bool last) noexcept;
/// The same, taken out.
ListNode* list_pop(ListHead& head, bool last) noexcept;

void tree_init(TreeNode& node) noexcept;
/// Puts a claimed node where `less(argument, node, other)` says; among equals it becomes the last.
using Less = bool (*)(void* argument, TreeNode* node, TreeNode* other);
void tree_add(TreeRoot& root, TreeNode& node, Less less, void* argument) noexcept;
/// False: the node is not in this tree.
bool tree_remove(TreeRoot& root, TreeNode& node) noexcept;
/// Any node, taken out without keeping the rest balanced: for emptying the tree. nullptr: it is empty.
TreeNode* tree_take_leaf(TreeRoot& root) noexcept;

}  // namespace skep::maps
