// The code of helpers: the families, looked up by id and program type. See table.hpp.
#include "helpers/table.hpp"

#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/simple.hpp"

namespace skep::helpers {
namespace {

using Family = std::span<const HelperRow> (*)();
constexpr Family families[] = {map_family,        ringbuf_family,   trace_family,  task_family,
                               string_family,     net_family,       xdp_family,    skb_bytes_family,
                               skb_change_family, skb_meta_family,  fib_family,    socket_family,
                               storage_family,    syncookie_family, dynptr_family, loop_family,
                               probe_family,      timer_family,     cgroup_family};

/// A row for this type alone wins over one for all.
const HelperRow* find(ProgType type, u32 id) {
  const HelperRow* general = nullptr;
  for (const Family family : families)
    for (const HelperRow& row : family()) {
      if (row.id != id) continue;
      if (row.only == type && type != ProgType::unspec) return &row;
      if (row.only == ProgType::unspec) general = &row;
    }
  return general;
}

/// Symbols stand 16 bytes apart below __bpf_call_base, helpers first, then the internal functions.
constexpr s32 symbol_top = -61456;
constexpr s32 symbol_step = 16;
constexpr s32 internal_count = fn_internal_end - fn_internal_base;

}  // namespace

HelperFn internal_function(s32 id);  // internal.cpp

HelperFn function(ProgType type, s32 id) {
  if (id > kernel_function_base) return kernel_function(id);
  if (id > fn_internal_base) return internal_function(id);
  if (id <= 0) return nullptr;
  const HelperRow* row = find(type, static_cast<u32>(id));
  return row != nullptr ? row->fn : nullptr;
}

Simple simple(HelperFn fn) {
  constexpr s32 redirect = 23, prandom = 7, processor_id = 8;
  struct Row {
    HelperFn fn;
    Simple simple;
  };
  static const Row rows[] = {{function(ProgType::xdp, redirect), Simple::xdp_redirect},
                             {function(ProgType::sched_cls, redirect), Simple::tc_redirect},
                             {function(ProgType::unspec, prandom), Simple::prandom_u32},
                             {function(ProgType::unspec, processor_id), Simple::processor_id}};
  for (const Row& row : rows)
    if (row.fn == fn) return row.simple;
  return Simple::none;
}

s32 symbol_offset(s32 id) {
  if (id > 0 && id < max_id) return symbol_top + id * symbol_step;
  if (id > fn_internal_base && id < fn_internal_end)
    return symbol_top + (max_id + id - fn_internal_base) * symbol_step;
  if (!kernel_function_name(id).empty())
    return symbol_top + (max_id + internal_count + id - kernel_function_base) * symbol_step;
  return 0;
}

s32 id_of_symbol_offset(s32 offset) {
  const s32 distance = offset - symbol_top;
  if (distance <= 0 || distance % symbol_step != 0) return 0;
  const s32 index = distance / symbol_step;
  if (index < max_id) return index;
  if (index > max_id && index < max_id + internal_count) return index - max_id + fn_internal_base;
  const s32 kernel = index - max_id - internal_count + kernel_function_base;
  return kernel_function_name(kernel).empty() ? 0 : kernel;
}

}  // namespace skep::helpers
