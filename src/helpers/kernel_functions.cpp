// The families of kernel functions, looked up by name and number. See kernel_functions.hpp.
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

using Family = std::span<const KernelFunctionRow> (*)();
constexpr Family families[] = {
    section_kernel_functions, iterator_kernel_functions,  object_kernel_functions,
    dynptr_kernel_functions,  exception_kernel_functions, workqueue_kernel_functions,
    lock_kernel_functions,    conntrack_kernel_functions, crypto_kernel_functions,
    string_kernel_functions,  cpumask_kernel_functions,   xfrm_kernel_functions,
    packet_kernel_functions,  memory_kernel_functions};

/// Numbers count through the families in their order.
const KernelFunctionRow* find(s32 id) {
  if (id <= kernel_function_base) return nullptr;
  auto index = static_cast<std::size_t>(id - kernel_function_base - 1);
  for (const Family family : families) {
    const auto rows = family();
    if (index < rows.size()) return &rows[index];
    index -= rows.size();
  }
  return nullptr;
}

}  // namespace

s32 kernel_function_id(std::string_view name) {
  s32 id = kernel_function_base;
  for (const Family family : families)
    for (const KernelFunctionRow& row : family()) {
      ++id;
      if (row.name == name) return id;
    }
  return 0;
}

std::string_view kernel_function_name(s32 id) {
  const KernelFunctionRow* row = find(id);
  return row != nullptr ? row->name : std::string_view{};
}

btf::ObjectType::Destructor kernel_object_destructor(std::string_view name) {
  struct Row {
    std::string_view name;
    btf::ObjectType::Destructor release;
  };
  constexpr auto of_no_object = [](void*) {};  // see kernel_packets.cpp
  constexpr Row rows[] = {{"nf_conn", release_connection},
                          {"bpf_crypto_ctx", release_crypto_context},
                          {"bpf_cpumask", release_cpumask},
                          {"prog_test_ref_kfunc", of_no_object},
                          {"prog_test_member", of_no_object}};
  for (const Row& row : rows)
    if (row.name == name) return row.release;
  return nullptr;
}

HelperFn kernel_function(s32 id) {
  const KernelFunctionRow* row = find(id);
  return row != nullptr ? row->fn : nullptr;
}

}  // namespace skep::helpers
