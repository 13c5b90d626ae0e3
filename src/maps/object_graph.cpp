// See object_graph.hpp. The trees are red-black trees as textbooks have them; what programs can see of their
// shape (bpf_rbtree_root(), left, right) is what the same rules give in the kernel.
#include "maps/object_graph.hpp"

#include <atomic>
#include <utility>

namespace skep::maps {
namespace {

/// What stands in `owner` from claiming a node to its being in the graph (kernel: BPF_PTR_POISON).
void* claimed() { return reinterpret_cast<void*>(u64{0xeB9F} << 32 | 0x12abu); }  // NOLINT: no address

void set_owner(void** owner, void* to) {
  std::atomic_ref<void*>(*owner).store(to, std::memory_order_release);
}

constexpr u64 black = 1;

TreeNode* parent(const TreeNode* node) {
  return reinterpret_cast<TreeNode*>(node->parent_and_color & ~black);  // NOLINT: the colour is in bit 0
}
bool is_red(const TreeNode* node) { return node != nullptr && (node->parent_and_color & black) == 0; }
void set_parent(TreeNode* node, TreeNode* to) {
  node->parent_and_color = reinterpret_cast<u64>(to) | (node->parent_and_color & black);
}
void set_red(TreeNode* node, bool red) {
  node->parent_and_color = (node->parent_and_color & ~black) | (red ? 0 : black);
}
/// What points at `node`.
TreeNode*& link_of(TreeRoot& root, TreeNode* node) {
  TreeNode* above = parent(node);
  if (above == nullptr) return root.top;
  return above->left == node ? above->left : above->right;
}
TreeNode*& child(TreeNode* node, bool right) { return right ? node->right : node->left; }

/// The child on the other side takes the node's place; the node goes down on `right` or left.
void rotate(TreeRoot& root, TreeNode* node, bool right) {
  TreeNode* up = child(node, !right);
  TreeNode* inner = child(up, right);
  link_of(root, node) = up;
  set_parent(up, parent(node));
  child(up, right) = node;
  set_parent(node, up);
  child(node, !right) = inner;
  if (inner != nullptr) set_parent(inner, node);
}

void repair_after_adding(TreeRoot& root, TreeNode* node) {
  for (TreeNode* above = parent(node); is_red(above); above = parent(node)) {
    TreeNode* top = parent(above);
    const bool right = above == top->right;
    TreeNode* uncle = child(top, !right);
    if (is_red(uncle)) {
      set_red(above, false);
      set_red(uncle, false);
      set_red(top, true);
      node = top;
      continue;
    }
    if (node == child(above, !right)) {
      rotate(root, above, right);
      std::swap(node, above);
    }
    set_red(above, false);
    set_red(top, true);
    rotate(root, top, !right);
  }
  set_red(root.top, false);
}

/// `node` (nullptr: a leaf) below `above` misses one black on its way up.
void repair_after_removing(TreeRoot& root, TreeNode* node, TreeNode* above) {
  while (node != root.top && !is_red(node)) {
    const bool right = node == above->right;
    TreeNode* sibling = child(above, !right);
    if (is_red(sibling)) {
      set_red(sibling, false);
      set_red(above, true);
      rotate(root, above, right);
      sibling = child(above, !right);
    }
    if (!is_red(sibling->left) && !is_red(sibling->right)) {
      set_red(sibling, true);
      node = above;
      above = parent(node);
      continue;
    }
    if (!is_red(child(sibling, !right))) {
      set_red(child(sibling, right), false);
      set_red(sibling, true);
      rotate(root, sibling, !right);
      sibling = child(above, !right);
    }
    set_red(sibling, is_red(above));
    set_red(above, false);
    set_red(child(sibling, !right), false);
    rotate(root, above, right);
    break;
  }
  if (node != nullptr) set_red(node, false);
}

TreeNode* next_of(TreeNode* node) {
  if (node->right != nullptr) {
    for (node = node->right; node->left != nullptr;) node = node->left;
    return node;
  }
  TreeNode* above = parent(node);
  while (above != nullptr && node == above->right) node = std::exchange(above, parent(above));
  return above;
}

void erase(TreeRoot& root, TreeNode* node) {
  if (node->left != nullptr && node->right != nullptr) {
    // Its successor, which has no left child, takes its place and colour.
    TreeNode* next = node->right;
    while (next->left != nullptr) next = next->left;
    TreeNode* moved = next->right;
    TreeNode* below = parent(next) == node ? next : parent(next);
    const bool lost_black = !is_red(next);
    if (below != next) {
      below->left = moved;
      if (moved != nullptr) set_parent(moved, below);
      next->right = node->right;
      set_parent(next->right, next);
    }
    link_of(root, node) = next;
    next->parent_and_color = node->parent_and_color;
    next->left = node->left;
    set_parent(next->left, next);
    if (lost_black) repair_after_removing(root, moved, below);
    return;
  }
  TreeNode* moved = node->left != nullptr ? node->left : node->right;
  TreeNode* above = parent(node);
  link_of(root, node) = moved;
  if (moved != nullptr) set_parent(moved, above);
  if (!is_red(node)) repair_after_removing(root, moved, above);
}

ListNode* as_node(const ListHead& head) {
  return reinterpret_cast<ListNode*>(const_cast<ListHead*>(&head));  // NOLINT: the head closes the ring
}

}  // namespace

bool claim_node(void** owner) noexcept {
  void* nobody = nullptr;
  return std::atomic_ref<void*>(*owner).compare_exchange_strong(nobody, claimed());
}

void list_init(ListHead& head) noexcept { head.next = head.previous = as_node(head); }
void list_init(ListNode& node) noexcept {
  node.next = node.previous = &node;
  node.owner = nullptr;
}

void list_push(ListHead& head, ListNode& node, bool last) noexcept {
  if (head.next == nullptr) list_init(head);
  ListNode* before = last ? head.previous : as_node(head);
  ListNode* after = last ? as_node(head) : head.next;
  node.previous = before;
  node.next = after;
  before->next = &node;
  after->previous = &node;
  set_owner(&node.owner, &head);
}

ListNode* list_end(const ListHead& head, bool last) noexcept {
  if (head.next == nullptr || head.next == as_node(head)) return nullptr;
  return last ? head.previous : head.next;
}

ListNode* list_pop(ListHead& head, bool last) noexcept {
  if (head.next == nullptr) list_init(head);
  ListNode* node = list_end(head, last);
  if (node == nullptr) return nullptr;
  node->previous->next = node->next;
  node->next->previous = node->previous;
  node->next = node->previous = node;
  set_owner(&node->owner, nullptr);
  return node;
}

void tree_init(TreeNode& node) noexcept { node = {}; }

void tree_add(TreeRoot& root, TreeNode& node, Less less, void* argument) noexcept {
  TreeNode* above = nullptr;
  TreeNode** link = &root.top;
  bool first = true;
  while (*link != nullptr) {
    above = *link;
    const bool before = less(argument, &node, above);
    first = first && before;
    link = before ? &above->left : &above->right;
  }
  node.left = node.right = nullptr;
  node.parent_and_color = reinterpret_cast<u64>(above);
  *link = &node;
  if (first) root.first = &node;
  repair_after_adding(root, &node);
  set_owner(&node.owner, &root);
}

bool tree_remove(TreeRoot& root, TreeNode& node) noexcept {
  if (std::atomic_ref<void*>(node.owner).load(std::memory_order_acquire) != &root) return false;
  if (root.first == &node) root.first = next_of(&node);
  erase(root, &node);
  node.parent_and_color = 0;
  node.left = node.right = nullptr;
  set_owner(&node.owner, nullptr);
  return true;
}

TreeNode* tree_take_leaf(TreeRoot& root) noexcept {
  TreeNode* node = root.top;
  if (node == nullptr) return nullptr;
  while (node->left != nullptr || node->right != nullptr)
    node = node->left != nullptr ? node->left : node->right;
  link_of(root, node) = nullptr;
  if (root.top == nullptr) root.first = nullptr;
  node->parent_and_color = 0;
  set_owner(&node->owner, nullptr);
  return node;
}

}  // namespace skep::maps
