// Kernel functions that programs call by their BTF id (kfuncs): what is known of each beyond its BTF
// signature, and what the checks of a call find out. Start with call.cpp.
#pragma once
#include "btf/record.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier::kfunc {

/// kernel: KF_*
enum Flag : u32 {
  none = 0,
  acquire = 1u << 0,    ///< the result must be released
  release = 1u << 1,    ///< an argument is given up
  ret_null = 1u << 2,   ///< the result may be NULL
  trusted = 1u << 3,    ///< pointers must be referenced or trusted
  sleepable = 1u << 4,  ///< may sleep
  rcu = 1u << 5,        ///< pointers may also be under RCU protection
  iter_new = 1u << 6,
  iter_next = 1u << 7,
  iter_destroy = 1u << 8,
  rcu_protected = 1u << 9,  ///< the iterator needs an RCU section
  fastcall = 1u << 10,
};
inline constexpr u32 any_iter = iter_new | iter_next | iter_destroy;

/// Who may call: groups of program types that share a registration (kernel: enum btf_kfunc_hook).
enum Caller : u32 {
  nobody = 0,
  for_socket_filter = 1u << 0,
  for_sched_cls = 1u << 1,
  for_sched_act = 1u << 2,
  for_xdp = 1u << 3,
  for_tracing = 1u << 4,       ///< tracing, tracepoint, perf_event, lsm
  for_tracing_iter = 1u << 5,  ///< of tracing only SEC("iter/...")
  for_cgroup = 1u << 6,
  for_lwt = 1u << 7,
  for_sk_skb = 1u << 8,
  for_netfilter = 1u << 9,
  for_syscall = 1u << 10,
  for_struct_ops = 1u << 11,
  for_kprobe_session = 1u << 12,
  for_lsm = 1u << 13,
  for_any = 1u << 31,
};
inline constexpr u32 everybody = for_any;

struct Row {
  std::string_view name;
  u32 flags;
  u32 callers;
};

/// The row of that name, or nullptr: not a kernel function that programs may call.
[[nodiscard]] const Row* find(std::string_view name);
[[nodiscard]] bool allowed(const Row& row, ProgType type, AttachType attach);

/// The row of the function that `insn` calls if programs like this one may call it, else nullptr.
[[nodiscard]] const Row* callable(const Input& input, const isa::Insn& insn);
/// How many parameters the function has by its BTF.
[[nodiscard]] u32 parameter_count(const Input& input, const isa::Insn& insn);

/// The functions that the verifier treats by name.
enum class Special : u8 {
  none,
  obj_new,
  percpu_obj_new,
  obj_drop,
  percpu_obj_drop,
  refcount_acquire,
  list_push_front,
  list_push_back,
  list_pop_front,
  list_pop_back,
  list_front,
  list_back,
  rbtree_add,
  rbtree_remove,
  rbtree_first,
  rbtree_root,
  rbtree_left,
  rbtree_right,
  cast_to_kern_ctx,
  rdonly_cast,
  rcu_read_lock,
  rcu_read_unlock,
  preempt_disable,
  preempt_enable,
  local_irq_save,
  local_irq_restore,
  res_spin_lock,
  res_spin_unlock,
  res_spin_lock_irqsave,
  res_spin_unlock_irqrestore,
  dynptr_from_skb,
  dynptr_from_skb_meta,
  dynptr_from_xdp,
  dynptr_slice,
  dynptr_slice_rdwr,
  dynptr_clone,
  throw_,
  wq_set_callback,
  task_work_schedule,
  iter_css_task_new,
  iter_num,
  session_cookie,
  arena,
  stream,
  xdp_pull_data,
  get_kmem_cache,
};
[[nodiscard]] Special special(std::string_view name);
[[nodiscard]] constexpr bool is_list(Special s) {
  return s >= Special::list_push_front && s <= Special::list_back;
}
[[nodiscard]] constexpr bool is_rbtree(Special s) {
  return s >= Special::rbtree_add && s <= Special::rbtree_right;
}
[[nodiscard]] constexpr bool is_res_lock(Special s) {
  return s >= Special::res_spin_lock && s <= Special::res_spin_unlock_irqrestore;
}
/// Takes a function of the program that runs later, by itself (kernel: is_async_callback_calling_kfunc()).
[[nodiscard]] constexpr bool calls_async_callback(Special s) {
  return s == Special::wq_set_callback || s == Special::task_work_schedule;
}
/// May be called while a lock is held (kernel: kfunc_spin_allowed()).
[[nodiscard]] constexpr bool allowed_under_lock(Special s) {
  return is_list(s) || is_rbtree(s) || is_res_lock(s) || s == Special::refcount_acquire ||
         s == Special::iter_num || s == Special::arena || s == Special::stream;
}

/// One call, as its checks see it (kernel: struct bpf_kfunc_call_arg_meta).
struct Call {
  const btf::Btf* btf = nullptr;
  u32 func_id = 0;
  std::string_view name;
  const btf::Type* proto = nullptr;
  u32 flags = 0;
  Special special = Special::none;

  u32 ref_obj_id = 0;
  u32 release_regno = 0;
  bool has_constant = false;
  u64 constant = 0;
  u64 r0_size = 0;
  bool r0_rdonly = false;
  u32 subprogno = 0;
  bool owning_ref = false;            ///< refcount_acquire() of an owning reference cannot fail
  const btf::Btf* arg_btf = nullptr;  ///< the type of the allocated object
  u32 arg_btf_id = 0;
  const btf::Btf* root_btf = nullptr;
  const btf::Field* root = nullptr;  ///< list_head or rb_root
  u32 iter_spi = 0, iter_frame = 0;
  const maps::MapFacts* map = nullptr;
  u32 map_uid = 0;
  u32 dynptr_id = 0, dynptr_type = 0, dynptr_ref_obj_id = 0;

  [[nodiscard]] bool has(u32 flag) const { return (flags & flag) != 0; }
  /// Release functions take trusted pointers only.
  [[nodiscard]] bool wants_trusted() const { return has(trusted | release); }
  [[nodiscard]] bool may_return_null() const {
    return has(ret_null) && !(special == Special::refcount_acquire && owning_ref);
  }
};

}  // namespace skep::verifier::kfunc
