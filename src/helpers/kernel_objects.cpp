// Kernel functions on objects that programs allocate, and on the lists and trees that own them (kernel:
// kernel/bpf/helpers.c). The types arrive from the fixups, as btf::ObjectType (kernel: "meta__ign", "off").
#include <cerrno>

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "maps/object_graph.hpp"
#include "maps/objects.hpp"

namespace skep::helpers {
namespace {

using btf::ObjectType;
using maps::ListHead;
using maps::ListNode;
using maps::TreeNode;
using maps::TreeRoot;

u64 address(const void* pointer) { return reinterpret_cast<u64>(pointer); }

/// (size, type)
u64 obj_new(u64 size, u64 type, u64, u64, u64, RunContext*) {
  return address(maps::new_object(size, pointer<const ObjectType>(type)));
}
/// (object, type)
u64 obj_drop(u64 object, u64, u64, u64, u64, RunContext*) {
  maps::drop_object(pointer<std::byte>(object));
  return 0;
}
/// (size, type)
u64 percpu_obj_new(u64 size, u64, u64, u64, u64, RunContext* run) {
  if (run->percpu == nullptr) return 0;
  return address(maps::new_percpu_object(size, *run->percpu));
}
/// (object, type)
u64 refcount_acquire(u64 object, u64 type, u64, u64, u64, RunContext*) {
  return maps::acquire_object(pointer<std::byte>(object), *pointer<const ObjectType>(type)) ? object : 0;
}

/// A node that is in a graph already goes, as the program gave it away.
u64 refuse_node(u64 node, u64 offset) {
  maps::drop_object(pointer<std::byte>(node - offset));
  return error_result(EINVAL);
}

template <bool last>
u64 list_push(u64 head, u64 node, u64, u64 offset, u64, RunContext*) {
  auto* entry = pointer<ListNode>(node);
  if (!maps::claim_node(&entry->owner)) return refuse_node(node, offset);
  maps::list_push(*pointer<ListHead>(head), *entry, last);
  return 0;
}
template <bool last>
u64 list_pop(u64 head, u64, u64, u64, u64, RunContext*) {
  return address(maps::list_pop(*pointer<ListHead>(head), last));
}
template <bool last>
u64 list_end(u64 head, u64, u64, u64, u64, RunContext*) {
  return address(maps::list_end(*pointer<ListHead>(head), last));
}

/// (root, node, less, type, offset)
u64 rbtree_add(u64 root, u64 node, u64 less, u64, u64 offset, RunContext* run) {
  auto* entry = pointer<TreeNode>(node);
  if (!maps::claim_node(&entry->owner)) return refuse_node(node, offset);
  struct Compare {
    const Callback& less;
    RunContext* run;
  } compare{*pointer<const Callback>(less), run};
  const auto before = [](void* argument, TreeNode* a, TreeNode* b) {
    auto& with = *static_cast<Compare*>(argument);
    return with.less(address(a), address(b), 0, 0, 0, with.run) != 0;
  };
  maps::tree_add(*pointer<TreeRoot>(root), *entry, before, &compare);
  return 0;
}
u64 rbtree_remove(u64 root, u64 node, u64, u64, u64, RunContext*) {
  return maps::tree_remove(*pointer<TreeRoot>(root), *pointer<TreeNode>(node)) ? node : 0;
}
u64 rbtree_first(u64 root, u64, u64, u64, u64, RunContext*) {
  return address(pointer<TreeRoot>(root)->first);
}
u64 rbtree_root(u64 root, u64, u64, u64, u64, RunContext*) { return address(pointer<TreeRoot>(root)->top); }
u64 rbtree_left(u64 root, u64 node, u64, u64, u64, RunContext*) {
  const auto* entry = pointer<TreeNode>(node);
  return entry->owner == pointer<void>(root) ? address(entry->left) : 0;
}
u64 rbtree_right(u64 root, u64 node, u64, u64, u64, RunContext*) {
  const auto* entry = pointer<TreeNode>(node);
  return entry->owner == pointer<void>(root) ? address(entry->right) : 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_obj_new_impl", obj_new},
    {"bpf_obj_drop_impl", obj_drop},
    {"bpf_percpu_obj_new_impl", percpu_obj_new},
    {"bpf_percpu_obj_drop_impl", obj_drop},
    {"bpf_refcount_acquire_impl", refcount_acquire},
    {"bpf_list_push_front_impl", list_push<false>},
    {"bpf_list_push_back_impl", list_push<true>},
    {"bpf_list_pop_front", list_pop<false>},
    {"bpf_list_pop_back", list_pop<true>},
    {"bpf_list_front", list_end<false>},
    {"bpf_list_back", list_end<true>},
    {"bpf_rbtree_add_impl", rbtree_add},
    {"bpf_rbtree_remove", rbtree_remove},
    {"bpf_rbtree_first", rbtree_first},
    {"bpf_rbtree_root", rbtree_root},
    {"bpf_rbtree_left", rbtree_left},
    {"bpf_rbtree_right", rbtree_right},
};

}  // namespace

std::span<const KernelFunctionRow> object_kernel_functions() { return rows; }

}  // namespace skep::helpers
