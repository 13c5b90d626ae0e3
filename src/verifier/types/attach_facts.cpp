// What the kernel knows of the places that programs are attached to beyond their BTF: tracepoint arguments
// that may be NULL (kernel: raw_tp_null_args and "__nullable") and what iterators pass, as Linux 6.18 answers
// when each is loaded; functions at which programs may sleep or change the result, by the kernel's lists.
#include "verifier/types/attach.hpp"

#include <algorithm>
#include <span>

namespace skep::verifier {

namespace {

struct NullableArgs {
  std::string_view tracepoint;
  u32 args;  ///< bit n: argument n
};
// clang-format off
constexpr NullableArgs nullable_args[] = {
    {"break_lease_block", 0x2},
    {"break_lease_noblock", 0x2},
    {"break_lease_unblock", 0x2},
    {"ext4_mballoc_discard", 0x2},
    {"ext4_mballoc_free", 0x2},
    {"fcntl_setlk", 0x2},
    {"fib_table_lookup", 0x4},
    {"flock_lock_inode", 0x2},
    {"folio_wait_writeback", 0x2},
    {"generic_delete_lease", 0x2},
    {"hugetlbfs_alloc_inode", 0x2},
    {"kfree_skb", 0x8},
    {"locks_remove_posix", 0x2},
    {"mm_collapse_huge_page_isolate", 0x1},
    {"mm_khugepaged_collapse_file", 0x2},
    {"mm_khugepaged_scan_file", 0x2},
    {"mm_khugepaged_scan_pmd", 0x2},
    {"mm_page_alloc", 0x1},
    {"mm_page_alloc_zone_locked", 0x1},
    {"mm_page_pcpu_drain", 0x1},
    {"posix_lock_inode", 0x2},
    {"qdisc_dequeue", 0x8},
    {"sched_pi_setprio", 0x2},
    {"sched_stick_numa", 0x4},
    {"sched_swap_numa", 0x4},
    {"tcp_send_reset", 0x3},
    {"tcp_sendmsg_locked", 0x4},
    {"time_out_leases", 0x2},
    {"tmigr_update_events", 0x1},
    {"writeback_dirty_folio", 0x2},
    {"xfs_blockgc_flush_all", 0x1},
    {"xfs_blockgc_free_space", 0x2},
    {"xfs_blockgc_start", 0x1},
    {"xfs_blockgc_stop", 0x1},
    {"xfs_blockgc_worker", 0x1},
    {"xfs_btree_overlapped_query_range", 0x4},
    {"xfs_btree_updkeys", 0x4},
    {"xfs_defer_add_item", 0x1},
    {"xfs_defer_cancel_item", 0x1},
    {"xfs_defer_cancel_list", 0x1},
    {"xfs_defer_create_intent", 0x1},
    {"xfs_defer_finish_item", 0x1},
    {"xfs_defer_isolate_paused", 0x1},
    {"xfs_defer_item_pause", 0x1},
    {"xfs_defer_item_unpause", 0x1},
    {"xfs_defer_pending_abort", 0x1},
    {"xfs_defer_pending_finish", 0x1},
    {"xfs_defer_relog_intent", 0x1},
    {"xfs_fs_sync_fs", 0x1},
    {"xfs_inodegc_flush", 0x1},
    {"xfs_inodegc_push", 0x1},
    {"xfs_inodegc_queue", 0x1},
    {"xfs_inodegc_start", 0x1},
    {"xfs_inodegc_stop", 0x1},
    {"xfs_inodegc_throttle", 0x1},
    {"xfs_ioc_free_eofblocks", 0x2},
    {"xfs_map_blocks_alloc", 0x10},
    {"xfs_map_blocks_found", 0x10},
};
// clang-format on

struct IterRow {
  std::string_view target;
  IterArg arg;
};
constexpr u16 trusted_or_null = tf::trusted | tf::maybe_null;
constexpr IterRow iter_args[] = {
    {"bpf_link", {1, Base::btf_id, tf::maybe_null}},
    {"bpf_map", {1, Base::btf_id, trusted_or_null}},
    {"bpf_map_elem", {2, Base::buf, tf::maybe_null | tf::rdonly}},
    {"bpf_map_elem", {3, Base::buf, tf::maybe_null}},
    {"bpf_prog", {1, Base::btf_id, tf::maybe_null}},
    {"bpf_sk_storage_map", {2, Base::btf_id, tf::maybe_null}},
    {"bpf_sk_storage_map", {3, Base::buf, tf::maybe_null}},
    {"cgroup", {1, Base::btf_id, trusted_or_null}},
    {"dmabuf", {1, Base::btf_id, tf::maybe_null}},
    {"ipv6_route", {1, Base::btf_id, tf::maybe_null}},
    {"kmem_cache", {1, Base::btf_id, trusted_or_null}},
    {"ksym", {1, Base::btf_id, tf::maybe_null}},
    {"netlink", {1, Base::btf_id, tf::maybe_null}},
    {"sockmap", {2, Base::buf, tf::maybe_null | tf::rdonly}},
    {"sockmap", {3, Base::btf_id, tf::maybe_null}},
    {"task", {1, Base::btf_id, trusted_or_null}},
    {"task_file", {1, Base::btf_id, tf::maybe_null}},
    {"task_file", {3, Base::btf_id, tf::maybe_null}},
    {"task_vma", {1, Base::btf_id, tf::maybe_null}},
    {"task_vma", {2, Base::btf_id, tf::maybe_null}},
    {"tcp", {1, Base::btf_id, trusted_or_null}},
    {"udp", {1, Base::btf_id, trusted_or_null}},
    {"unix", {1, Base::btf_id, tf::maybe_null}},
};

/// `function`: "bpf_iter_" and the target.
bool iterates(std::string_view function, const IterRow& row) {
  constexpr std::string_view prefix = "bpf_iter_";
  return function.starts_with(prefix) && function.substr(prefix.size()) == row.target;
}

/// kernel: ALLOW_ERROR_INJECTION(), but for system calls and those of check_non_sleepable_error_inject()
constexpr std::string_view error_injection_functions[] = {"btrfs_check_leaf",
                                                          "btrfs_check_node",
                                                          "btrfs_cow_block",
                                                          "btrfs_search_slot",
                                                          "btrfs_should_cancel_balance",
                                                          "io_ctl_init",
                                                          "open_ctree",
                                                          "should_fail_bio"};
constexpr std::string_view injected_without_sleep[] = {"__filemap_add_folio", "should_fail_alloc_page",
                                                       "should_failslab"};
/// kernel: the sets of register_btf_fmodret_id_set()
constexpr std::string_view modifiable_functions[] = {"bpf_fentry_test1", "bpf_modify_return_test",
                                                     "bpf_modify_return_test2", "bpf_modify_return_test_tp",
                                                     "update_socket_protocol"};
constexpr std::string_view untraceable_functions[] = {
    "__rcu_read_lock",   "__rcu_read_unlock", "migrate_disable",       "migrate_enable",
    "preempt_count_add", "preempt_count_sub", "rcu_read_unlock_strict"};
constexpr std::string_view noreturn_functions[] = {"__ia32_sys_exit",
                                                   "__ia32_sys_exit_group",
                                                   "__kunit_abort",
                                                   "__module_put_and_kthread_exit",
                                                   "__x64_sys_exit",
                                                   "__x64_sys_exit_group",
                                                   "do_exit",
                                                   "do_group_exit",
                                                   "kthread_complete_and_exit",
                                                   "kthread_exit",
                                                   "kunit_try_catch_throw",
                                                   "make_task_dead"};

bool holds(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_system_call(std::string_view function) {
  return function.starts_with("__x64_sys_") || function.starts_with("__ia32_sys_") ||
         function.starts_with("__ia32_compat_sys_") || function.starts_with("__x64_compat_sys_");
}

}  // namespace

bool tracepoint_arg_nullable(std::string_view tracepoint, u32 arg) {
  for (const NullableArgs& row : nullable_args)
    if (row.tracepoint == tracepoint) return (row.args >> arg & 1) != 0;
  return false;
}

const IterArg* iter_arg(std::string_view function, u32 arg) {
  for (const IterRow& row : iter_args)
    if (iterates(function, row) && row.arg.index == arg) return &row.arg;
  return nullptr;
}

bool is_iterator(std::string_view function) {
  return std::ranges::any_of(iter_args, [&](const IterRow& row) { return iterates(function, row); });
}

// --- functions -------------------------------------------------------------------------------------------

bool may_sleep_at(std::string_view function) {
  return is_system_call(function) || holds(error_injection_functions, function) ||
         function == "bpf_fentry_test1";
}

bool may_modify_return_of(std::string_view function) {
  return is_system_call(function) || holds(error_injection_functions, function) ||
         holds(injected_without_sleep, function) || holds(modifiable_functions, function) ||
         function.starts_with("security_");
}

bool is_denied_to_tracing(std::string_view function) { return holds(untraceable_functions, function); }

bool never_returns(std::string_view function) { return holds(noreturn_functions, function); }

}  // namespace skep::verifier
