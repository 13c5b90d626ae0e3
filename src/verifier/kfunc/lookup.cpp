// From an instruction to what is known of the function it calls.
#include "btf/kernel_btf.hpp"
#include "verifier/front/insns.hpp"
#include "verifier/kfunc/kfunc.hpp"

namespace skep::verifier::kfunc {

namespace {

struct SpecialName {
  std::string_view name;
  Special special;
};
constexpr SpecialName special_names[] = {
    {"bpf_obj_new_impl", Special::obj_new},
    {"bpf_percpu_obj_new_impl", Special::percpu_obj_new},
    {"bpf_obj_drop_impl", Special::obj_drop},
    {"bpf_percpu_obj_drop_impl", Special::percpu_obj_drop},
    {"bpf_refcount_acquire_impl", Special::refcount_acquire},
    {"bpf_list_push_front_impl", Special::list_push_front},
    {"bpf_list_push_back_impl", Special::list_push_back},
    {"bpf_list_pop_front", Special::list_pop_front},
    {"bpf_list_pop_back", Special::list_pop_back},
    {"bpf_list_front", Special::list_front},
    {"bpf_list_back", Special::list_back},
    {"bpf_rbtree_add_impl", Special::rbtree_add},
    {"bpf_rbtree_remove", Special::rbtree_remove},
    {"bpf_rbtree_first", Special::rbtree_first},
    {"bpf_rbtree_root", Special::rbtree_root},
    {"bpf_rbtree_left", Special::rbtree_left},
    {"bpf_rbtree_right", Special::rbtree_right},
    {"bpf_cast_to_kern_ctx", Special::cast_to_kern_ctx},
    {"bpf_rdonly_cast", Special::rdonly_cast},
    {"bpf_rcu_read_lock", Special::rcu_read_lock},
    {"bpf_rcu_read_unlock", Special::rcu_read_unlock},
    {"bpf_preempt_disable", Special::preempt_disable},
    {"bpf_preempt_enable", Special::preempt_enable},
    {"bpf_local_irq_save", Special::local_irq_save},
    {"bpf_local_irq_restore", Special::local_irq_restore},
    {"bpf_res_spin_lock", Special::res_spin_lock},
    {"bpf_res_spin_unlock", Special::res_spin_unlock},
    {"bpf_res_spin_lock_irqsave", Special::res_spin_lock_irqsave},
    {"bpf_res_spin_unlock_irqrestore", Special::res_spin_unlock_irqrestore},
    {"bpf_dynptr_from_skb", Special::dynptr_from_skb},
    {"bpf_dynptr_from_skb_meta", Special::dynptr_from_skb_meta},
    {"bpf_dynptr_from_xdp", Special::dynptr_from_xdp},
    {"bpf_dynptr_slice", Special::dynptr_slice},
    {"bpf_dynptr_slice_rdwr", Special::dynptr_slice_rdwr},
    {"bpf_dynptr_clone", Special::dynptr_clone},
    {"bpf_throw", Special::throw_},
    {"bpf_wq_set_callback_impl", Special::wq_set_callback},
    {"bpf_task_work_schedule_resume_impl", Special::task_work_schedule},
    {"bpf_task_work_schedule_signal_impl", Special::task_work_schedule},
    {"bpf_iter_css_task_new", Special::iter_css_task_new},
    {"bpf_iter_num_new", Special::iter_num},
    {"bpf_iter_num_next", Special::iter_num},
    {"bpf_iter_num_destroy", Special::iter_num},
    {"bpf_session_cookie", Special::session_cookie},
    {"bpf_arena_alloc_pages", Special::arena},
    {"bpf_arena_free_pages", Special::arena},
    {"bpf_arena_reserve_pages", Special::arena},
    {"bpf_stream_vprintk_impl", Special::stream},
    {"bpf_xdp_pull_data", Special::xdp_pull_data},
    {"bpf_get_kmem_cache", Special::get_kmem_cache},
};

const btf::Type* function_of(const Input& input, const isa::Insn& insn) {
  if (!is_kfunc_call(insn) || insn.imm <= 0 || insn.off != 0 || input.vmlinux == nullptr) return nullptr;
  const btf::Btf* types = input.vmlinux->types();
  if (types == nullptr) return nullptr;
  const btf::Type& function = types->type(static_cast<u32>(insn.imm));
  return function.kind == btf::Kind::func ? &function : nullptr;
}

}  // namespace

Special special(std::string_view name) {
  for (const SpecialName& row : special_names)
    if (row.name == name) return row.special;
  return Special::none;
}

const Row* callable(const Input& input, const isa::Insn& insn) {
  const btf::Type* function = function_of(input, insn);
  if (function == nullptr) return nullptr;
  const Row* row = find(input.vmlinux->types()->string(function->name_off));
  return row != nullptr && allowed(*row, input.type, input.expected_attach_type) ? row : nullptr;
}

u32 parameter_count(const Input& input, const isa::Insn& insn) {
  const btf::Type* function = function_of(input, insn);
  if (function == nullptr) return 5;
  const btf::Btf& types = *input.vmlinux->types();
  return static_cast<u32>(types.entries(types.type(function->type)).size());
}

}  // namespace skep::verifier::kfunc
