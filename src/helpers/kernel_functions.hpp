// The code of kernel functions (kfuncs). Programs name them by their BTF id in the kernel's types, which
// differs from machine to machine; here they have a name and a stable number, which stands in the calls of
// rewritten code as helpers' ids do. What the verifier demands of each: verifier/kfunc/.
#pragma once
#include <span>
#include <string_view>

#include "btf/object_type.hpp"
#include "helpers/run_context.hpp"

namespace skep::helpers {

/// One kernel function: R1..R5 and the run context as for helpers. Arguments that the kernel's fixups fill in
/// ("meta__ign") arrive filled in (fixup/kernel_calls.cpp).
struct KernelFunctionRow {
  std::string_view name;  ///< "bpf_iter_num_new"
  HelperFn fn = nullptr;
};

// The families, one file each. Adding a function's code: a row in its family. Adding a family: a file, a
// declaration here, a line in kernel_functions.cpp.
[[nodiscard]] std::span<const KernelFunctionRow> section_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> iterator_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> object_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> dynptr_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> exception_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> lock_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> workqueue_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> conntrack_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> crypto_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> string_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> cpumask_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> xfrm_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> packet_kernel_functions();
[[nodiscard]] std::span<const KernelFunctionRow> memory_kernel_functions();

// What lets go of objects that maps keep.
void release_connection(void* connection);
void release_crypto_context(void* context);
void release_cpumask(void* mask);

/// What bpf_local_irq_save() and bpf_res_spin_lock_irqsave() find on x86-64 where interrupts are enabled.
inline constexpr u64 interrupts_enabled = 1u << 9 | 1u << 1;

/// Numbers of kernel functions lie above this, and above every InternalFn.
inline constexpr s32 kernel_function_base = 0x20000;

/// The number of the kernel function of that name; 0: it has no code here. Stable within a process.
[[nodiscard]] s32 kernel_function_id(std::string_view name);
/// "bpf_iter_num_new"; empty if `id` is none.
[[nodiscard]] std::string_view kernel_function_name(s32 id);
/// The code; nullptr if `id` is none. helpers::function() finds it, too.
[[nodiscard]] HelperFn kernel_function(s32 id);

/// What lets go of a reference to an object of the kernel's struct of that name, where skep has such objects
/// (kernel: the destructors of register_btf_id_dtor_kfuncs()).
[[nodiscard]] btf::ObjectType::Destructor kernel_object_destructor(std::string_view name);

}  // namespace skep::helpers
