// The table of kfunc.hpp: which kernel functions Linux 6.18 offers, to whom, and what it knows of them beyond
// their BTF (kernel: the BTF_ID_FLAGS() sets and register_btf_kfunc_id_set()). Who may call what was asked of
// the running kernel, function by function and type by type; flags are facts of its sources.
#include <algorithm>

#include "verifier/kfunc/kfunc.hpp"

namespace skep::verifier::kfunc {

namespace {

/// kernel: generic_kfunc_set
constexpr u32 generic = for_sched_cls | for_xdp | for_tracing | for_cgroup | for_syscall | for_struct_ops;

// clang-format off
constexpr Row table[] = {
    {"__bpf_trap", none, everybody},
    {"bbr_cwnd_event", trusted, for_struct_ops},
    {"bbr_init", trusted, for_struct_ops},
    {"bbr_main", trusted, for_struct_ops},
    {"bbr_min_tso_segs", trusted, for_struct_ops},
    {"bbr_set_state", trusted, for_struct_ops},
    {"bbr_sndbuf_expand", trusted, for_struct_ops},
    {"bbr_ssthresh", trusted, for_struct_ops},
    {"bbr_undo_cwnd", trusted, for_struct_ops},
    {"bpf_arena_alloc_pages", trusted | sleepable, everybody},
    {"bpf_arena_free_pages", trusted | sleepable, everybody},
    {"bpf_arena_reserve_pages", trusted | sleepable, everybody},
    {"bpf_cast_to_kern_ctx", fastcall, everybody},
    {"bpf_cgroup_acquire", acquire | rcu | ret_null, generic},
    {"bpf_cgroup_ancestor", acquire | rcu | ret_null, generic},
    {"bpf_cgroup_from_id", acquire | ret_null, generic},
    {"bpf_cgroup_read_xattr", rcu, everybody},
    {"bpf_cgroup_release", release, generic},
    {"bpf_copy_from_user_dynptr", sleepable, everybody},
    {"bpf_copy_from_user_str", sleepable, everybody},
    {"bpf_copy_from_user_str_dynptr", sleepable, everybody},
    {"bpf_copy_from_user_task_dynptr", trusted | sleepable, everybody},
    {"bpf_copy_from_user_task_str", sleepable, everybody},
    {"bpf_copy_from_user_task_str_dynptr", trusted | sleepable, everybody},
    {"bpf_cpumask_acquire", acquire | trusted, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_and", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_any_and_distribute", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_any_distribute", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_clear", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_clear_cpu", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_copy", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_create", acquire | ret_null, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_empty", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_equal", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_first", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_first_and", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_first_zero", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_full", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_intersects", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_or", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_populate", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_release", release, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_set_cpu", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_setall", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_subset", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_test_and_clear_cpu", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_test_and_set_cpu", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_test_cpu", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_weight", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_cpumask_xor", rcu, for_tracing | for_syscall | for_struct_ops},
    {"bpf_crypto_ctx_acquire", acquire | rcu | ret_null, for_syscall},
    {"bpf_crypto_ctx_create", acquire | ret_null | sleepable, for_syscall},
    {"bpf_crypto_ctx_release", release, for_syscall},
    {"bpf_crypto_decrypt", rcu, for_sched_cls | for_sched_act | for_xdp},
    {"bpf_crypto_encrypt", rcu, for_sched_cls | for_sched_act | for_xdp},
    {"bpf_ct_change_status", trusted, for_sched_cls | for_xdp},
    {"bpf_ct_change_timeout", trusted, for_sched_cls | for_xdp},
    {"bpf_ct_insert_entry", acquire | ret_null | release, for_sched_cls | for_xdp},
    {"bpf_ct_release", release, for_sched_cls | for_xdp},
    {"bpf_ct_set_nat_info", trusted, for_sched_cls | for_xdp},
    {"bpf_ct_set_status", trusted, for_sched_cls | for_xdp},
    {"bpf_ct_set_timeout", trusted, for_sched_cls | for_xdp},
    {"bpf_dynptr_adjust", none, everybody},
    {"bpf_dynptr_clone", none, everybody},
    {"bpf_dynptr_copy", none, everybody},
    {"bpf_dynptr_from_skb", trusted, for_socket_filter | for_sched_cls | for_sched_act | for_tracing | for_cgroup | for_lwt | for_sk_skb | for_netfilter},
    {"bpf_dynptr_from_skb_meta", trusted, for_sched_cls | for_sched_act},
    {"bpf_dynptr_from_xdp", none, for_xdp},
    {"bpf_dynptr_is_null", none, everybody},
    {"bpf_dynptr_is_rdonly", none, everybody},
    {"bpf_dynptr_memset", none, everybody},
    {"bpf_dynptr_size", none, everybody},
    {"bpf_dynptr_slice", ret_null, everybody},
    {"bpf_dynptr_slice_rdwr", ret_null, everybody},
    {"bpf_get_dentry_xattr", trusted | sleepable, for_lsm},
    {"bpf_get_file_xattr", trusted | sleepable, for_lsm},
    {"bpf_get_kmem_cache", none, everybody},
    {"bpf_get_task_exe_file", acquire | trusted | ret_null, for_lsm},
    {"bpf_iter_bits_destroy", iter_destroy, everybody},
    {"bpf_iter_bits_new", iter_new, everybody},
    {"bpf_iter_bits_next", iter_next | ret_null, everybody},
    {"bpf_iter_css_destroy", iter_destroy, everybody},
    {"bpf_iter_css_new", iter_new | trusted | rcu_protected, everybody},
    {"bpf_iter_css_next", iter_next | ret_null, everybody},
    {"bpf_iter_css_task_destroy", iter_destroy, everybody},
    {"bpf_iter_css_task_new", iter_new | trusted, everybody},
    {"bpf_iter_css_task_next", iter_next | ret_null, everybody},
    {"bpf_iter_dmabuf_destroy", iter_destroy | sleepable, everybody},
    {"bpf_iter_dmabuf_new", iter_new | sleepable, everybody},
    {"bpf_iter_dmabuf_next", iter_next | ret_null | sleepable, everybody},
    {"bpf_iter_kmem_cache_destroy", iter_destroy | sleepable, everybody},
    {"bpf_iter_kmem_cache_new", iter_new | sleepable, everybody},
    {"bpf_iter_kmem_cache_next", iter_next | ret_null | sleepable, everybody},
    {"bpf_iter_num_destroy", iter_destroy, everybody},
    {"bpf_iter_num_new", iter_new, everybody},
    {"bpf_iter_num_next", iter_next | ret_null, everybody},
    {"bpf_iter_task_destroy", iter_destroy, everybody},
    {"bpf_iter_task_new", iter_new | trusted | rcu_protected, everybody},
    {"bpf_iter_task_next", iter_next | ret_null, everybody},
    {"bpf_iter_task_vma_destroy", iter_destroy, everybody},
    {"bpf_iter_task_vma_new", iter_new | rcu, everybody},
    {"bpf_iter_task_vma_next", iter_next | ret_null, everybody},
    {"bpf_key_put", release, generic},
    {"bpf_kfunc_call_memb_release", release, for_sched_cls | for_tracing | for_syscall},
    {"bpf_kfunc_call_test_release", release, for_sched_cls | for_tracing | for_syscall},
    {"bpf_list_back", ret_null, generic},
    {"bpf_list_front", ret_null, generic},
    {"bpf_list_pop_back", acquire | ret_null, generic},
    {"bpf_list_pop_front", acquire | ret_null, generic},
    {"bpf_list_push_back_impl", none, generic},
    {"bpf_list_push_front_impl", none, generic},
    {"bpf_local_irq_restore", none, everybody},
    {"bpf_local_irq_save", none, everybody},
    {"bpf_lookup_system_key", acquire | ret_null, generic},
    {"bpf_lookup_user_key", acquire | ret_null | sleepable, generic},
    {"bpf_map_sum_elem_count", trusted, everybody},
    {"bpf_modify_return_test_tp", none, everybody},
    {"bpf_obj_drop_impl", release, generic},
    {"bpf_obj_new_impl", acquire | ret_null, generic},
    {"bpf_path_d_path", trusted, for_lsm},
    {"bpf_percpu_obj_drop_impl", release, generic},
    {"bpf_percpu_obj_new_impl", acquire | ret_null, generic},
    {"bpf_preempt_disable", none, everybody},
    {"bpf_preempt_enable", none, everybody},
    {"bpf_probe_read_kernel_dynptr", none, everybody},
    {"bpf_probe_read_kernel_str_dynptr", none, everybody},
    {"bpf_probe_read_user_dynptr", none, everybody},
    {"bpf_probe_read_user_str_dynptr", none, everybody},
    {"bpf_put_file", release, for_lsm},
    {"bpf_rbtree_add_impl", none, generic},
    {"bpf_rbtree_first", ret_null, generic},
    {"bpf_rbtree_left", ret_null, generic},
    {"bpf_rbtree_remove", acquire | ret_null, generic},
    {"bpf_rbtree_right", ret_null, generic},
    {"bpf_rbtree_root", ret_null, generic},
    {"bpf_rcu_read_lock", none, everybody},
    {"bpf_rcu_read_unlock", none, everybody},
    {"bpf_rdonly_cast", fastcall, everybody},
    {"bpf_refcount_acquire_impl", acquire | rcu | ret_null, generic},
    {"bpf_remove_dentry_xattr", trusted | sleepable, for_lsm},
    {"bpf_res_spin_lock", ret_null, everybody},
    {"bpf_res_spin_lock_irqsave", ret_null, everybody},
    {"bpf_res_spin_unlock", none, everybody},
    {"bpf_res_spin_unlock_irqrestore", none, everybody},
    {"bpf_send_signal_task", trusted, generic},
    {"bpf_session_cookie", none, for_kprobe_session},
    {"bpf_session_is_return", none, for_kprobe_session},
    {"bpf_set_dentry_xattr", trusted | sleepable, for_lsm},
    {"bpf_sk_assign_tcp_reqsk", trusted, for_sched_cls},
    {"bpf_skb_ct_alloc", acquire | ret_null, for_sched_cls | for_xdp},
    {"bpf_skb_ct_lookup", acquire | ret_null, for_sched_cls | for_xdp},
    {"bpf_sock_addr_set_sun_path", none, for_cgroup},
    {"bpf_sock_destroy", trusted, for_tracing_iter},
    {"bpf_sock_ops_enable_tx_tstamp", trusted, for_cgroup},
    {"bpf_strcasecmp", none, everybody},
    {"bpf_strchr", none, everybody},
    {"bpf_strchrnul", none, everybody},
    {"bpf_strcmp", none, everybody},
    {"bpf_strcspn", none, everybody},
    {"bpf_stream_vprintk_impl", trusted, everybody},
    {"bpf_strlen", none, everybody},
    {"bpf_strnchr", none, everybody},
    {"bpf_strnlen", none, everybody},
    {"bpf_strnstr", none, everybody},
    {"bpf_strrchr", none, everybody},
    {"bpf_strspn", none, everybody},
    {"bpf_strstr", none, everybody},
    {"bpf_task_acquire", acquire | rcu | ret_null, generic},
    {"bpf_task_from_pid", acquire | ret_null, generic},
    {"bpf_task_from_vpid", acquire | ret_null, generic},
    {"bpf_task_get_cgroup1", acquire | rcu | ret_null, generic},
    {"bpf_task_release", release, generic},
    {"bpf_task_under_cgroup", rcu, generic},
    {"bpf_task_work_schedule_resume_impl", trusted, everybody},
    {"bpf_task_work_schedule_signal_impl", trusted, everybody},
    {"bpf_throw", none, generic},
    {"bpf_wq_init", none, everybody},
    {"bpf_wq_set_callback_impl", none, everybody},
    {"bpf_wq_start", none, everybody},
    {"bpf_xdp_ct_alloc", acquire | ret_null, for_sched_cls | for_xdp},
    {"bpf_xdp_ct_lookup", acquire | ret_null, for_sched_cls | for_xdp},
    {"bpf_xdp_get_xfrm_state", acquire | ret_null, for_xdp},
    {"bpf_xdp_metadata_rx_hash", trusted, for_xdp},
    {"bpf_xdp_metadata_rx_timestamp", trusted, for_xdp},
    {"bpf_xdp_metadata_rx_vlan_tag", trusted, for_xdp},
    {"bpf_xdp_pull_data", none, for_xdp},
    {"bpf_xdp_xfrm_state_release", release, for_xdp},
    {"css_rstat_flush", sleepable, for_tracing},
    {"css_rstat_updated", none, for_tracing},
    {"cubictcp_acked", trusted, for_struct_ops},
    {"cubictcp_cong_avoid", trusted, for_struct_ops},
    {"cubictcp_cwnd_event", trusted, for_struct_ops},
    {"cubictcp_init", trusted, for_struct_ops},
    {"cubictcp_recalc_ssthresh", trusted, for_struct_ops},
    {"cubictcp_state", trusted, for_struct_ops},
    {"tcp_cong_avoid_ai", trusted, for_struct_ops},
    {"tcp_reno_cong_avoid", trusted, for_struct_ops},
    {"tcp_reno_ssthresh", trusted, for_struct_ops},
    {"tcp_reno_undo_cwnd", trusted, for_struct_ops},
    {"tcp_slow_start", trusted, for_struct_ops},
};
// clang-format on
static_assert(std::ranges::is_sorted(table, {}, &Row::name));

/// Which registration hook a program type belongs to (kernel: bpf_prog_type_to_kfunc_hook()).
u32 hook_of(ProgType type, AttachType attach) {
  switch (type) {
    case ProgType::socket_filter:
      return for_socket_filter;
    case ProgType::sched_cls:
      return for_sched_cls;
    case ProgType::sched_act:
      return for_sched_act;
    case ProgType::xdp:
      return for_xdp;
    case ProgType::tracing:
      return attach == AttachType::trace_iter ? for_tracing | for_tracing_iter : for_tracing;
    case ProgType::tracepoint:
    case ProgType::perf_event:
      return for_tracing;
    case ProgType::lsm:
      return for_tracing | for_lsm;
    case ProgType::cgroup_skb:
    case ProgType::cgroup_sock:
    case ProgType::cgroup_device:
    case ProgType::cgroup_sock_addr:
    case ProgType::cgroup_sockopt:
    case ProgType::cgroup_sysctl:
    case ProgType::sock_ops:
      return for_cgroup;
    case ProgType::lwt_in:
    case ProgType::lwt_out:
    case ProgType::lwt_xmit:
    case ProgType::lwt_seg6local:
      return for_lwt;
    case ProgType::sk_skb:
      return for_sk_skb;
    case ProgType::netfilter:
      return for_netfilter;
    case ProgType::syscall:
      return for_syscall;
    case ProgType::struct_ops:
      return for_struct_ops;
    case ProgType::kprobe:
      return attach == AttachType::trace_kprobe_session ? u32{for_kprobe_session} : 0;
    default:
      return 0;
  }
}

}  // namespace

const Row* find(std::string_view name) {
  const auto at = std::ranges::lower_bound(table, name, {}, &Row::name);
  return at != std::end(table) && at->name == name ? at : nullptr;
}

bool allowed(const Row& row, ProgType type, AttachType attach) {
  return (row.callers & (hook_of(type, attach) | for_any)) != 0;
}

}  // namespace skep::verifier::kfunc
