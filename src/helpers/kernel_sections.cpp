// Kernel functions that open and close sections in which the kernel may not preempt, interrupt or reclaim.
// A program here runs to completion on its worker, whose CPU never changes, and its worker is an RCU reader
// for the whole run: every section holds already. What programs can see of them is kept.
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

u64 nothing(u64, u64, u64, u64, u64, RunContext*) { return 0; }

/// (flags)
u64 local_irq_save(u64 flags, u64, u64, u64, u64, RunContext*) {
  *pointer<u64>(flags) = interrupts_enabled;
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_rcu_read_lock", nothing},         {"bpf_rcu_read_unlock", nothing},
    {"bpf_preempt_disable", nothing},       {"bpf_preempt_enable", nothing},
    {"bpf_local_irq_save", local_irq_save}, {"bpf_local_irq_restore", nothing},
};

}  // namespace

std::span<const KernelFunctionRow> section_kernel_functions() { return rows; }

}  // namespace skep::helpers
