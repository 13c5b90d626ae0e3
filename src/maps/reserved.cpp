// Map types that objects may declare, that programs are verified with and that every listing shows, and whose
// elements skep does not have: reading or writing one is EOPNOTSUPP with the type's name.
#include <array>

#include "maps/checks.hpp"

namespace skep::maps {
namespace {

using Memlock = u64 (*)(const MapFacts& facts, u32 cpus);

class ReservedMap final : public Map {
 public:
  ReservedMap(const MapSpec& spec, u32 cpus, Memlock formula) : Map(spec), cpus_(cpus), memlock_(formula) {}
  u64 memlock() const override { return memlock_(facts_, cpus_); }
  int remove(const std::byte*) noexcept override { return -EOPNOTSUPP; }

 protected:
  int copy_out(const std::byte*, std::byte*) noexcept override { return -EOPNOTSUPP; }
  int copy_in(const std::byte*, const std::byte*, u64) noexcept override { return -EOPNOTSUPP; }
  int next_key(const std::byte*, std::byte*) noexcept override { return -EOPNOTSUPP; }

 private:
  u32 cpus_;
  Memlock memlock_;
};

template <Memlock memlock>
Result<MapRef> make(const MapSpec& spec, const Environment& environment) {
  SKEP_ASSERT(environment.percpu != nullptr);
  return MapRef(std::make_shared<ReservedMap>(spec, environment.percpu->cpus(), memlock));
}

#define SKEP_CHECKS(...) \
  if (auto checked = (__VA_ARGS__); !checked) return std::unexpected(std::move(checked).error())

/// stack_map_alloc(); 127 is kernel.perf_event_max_stack's default.
Result<void> check_stack_trace(const MapSpec& spec) {
  constexpr u32 max_depth = 127;
  SKEP_CHECKS(check_flags(spec, reference_flags | uapi::F_STACK_BUILD_ID));
  SKEP_CHECKS(check_entries(spec));
  SKEP_CHECKS(check_key(spec, 4));
  const u32 frame = (spec.flags & uapi::F_STACK_BUILD_ID) != 0 ? 32 : 8;
  if (spec.value_size == 0 || spec.value_size % frame != 0 || spec.value_size / frame > max_depth)
    return fail(EINVAL, fmt::format("value_size is {}, must be 1 to {} frames of {} bytes", spec.value_size,
                                    max_depth, frame));
  if (spec.max_entries > 1u << 31)
    return fail(E2BIG, fmt::format("max_entries {} is too big", spec.max_entries));
  return check_memory(u64{spec.max_entries} * spec.value_size);
}
u64 stack_trace_memlock(const MapFacts& of, u32) {
  return 320 + 8 * u64{std::bit_ceil(of.max_entries)} + u64{of.max_entries} * (16 + of.value_size);
}

/// A map of stacks that only programs put in (stack_map_ops): there are none of a kernel here, so it is
/// empty.
class StackTraceMap final : public Map {
 public:
  explicit StackTraceMap(const MapSpec& spec) : Map(spec) {}
  u64 memlock() const override { return stack_trace_memlock(facts_, 0); }
  int remove(const std::byte* key) noexcept override {
    return load<u32>(key) >= facts_.max_entries ? -E2BIG : -ENOENT;
  }

 protected:
  int copy_out(const std::byte*, std::byte*) noexcept override { return -ENOENT; }
  int copy_in(const std::byte*, const std::byte*, u64) noexcept override { return -EINVAL; }
  int next_key(const std::byte*, std::byte*) noexcept override { return -ENOENT; }
  int take(const std::byte*, std::byte*) noexcept override { return -ENOENT; }
};
Result<MapRef> make_stack_trace(const MapSpec& spec, const Environment&) {
  return MapRef(std::make_shared<StackTraceMap>(spec));
}

/// cgroup_storage_map_alloc()
Result<void> check_cgroup_storage(const MapSpec& spec) {
  const u32 max = spec.type == MapType::percpu_cgroup_storage ? percpu_value_max : 64992;
  if (spec.key_size != 8 && spec.key_size != 16)
    return fail(EINVAL, fmt::format("key_size is {}, must be 8 or 16", spec.key_size));
  if (spec.value_size == 0) return fail(EINVAL, "value_size is 0");
  if (spec.value_size > max)
    return fail(E2BIG, fmt::format("value_size is {}, at most {}", spec.value_size, max));
  SKEP_CHECKS(check_flags(spec, uapi::F_NUMA_NODE | access_mask));
  return check_no_entries(spec);
}
u64 cgroup_storage_memlock(const MapFacts&, u32) { return 328; }

/// bpf_local_storage_map_alloc_check()
Result<void> check_local_storage(const MapSpec& spec) {
  constexpr u32 max_value = 65352;  // BPF_LOCAL_STORAGE_MAX_VALUE_SIZE
  SKEP_CHECKS(check_flags(spec, uapi::F_NO_PREALLOC | uapi::F_CLONE));
  if ((spec.flags & uapi::F_NO_PREALLOC) == 0) return fail(EINVAL, "needs BPF_F_NO_PREALLOC");
  SKEP_CHECKS(check_no_entries(spec));
  SKEP_CHECKS(check_key(spec, 4));
  if (spec.value_size == 0) return fail(EINVAL, "value_size is 0");
  if (spec.btf_key_type_id == 0 || spec.btf_value_type_id == 0)
    return fail(EINVAL, "needs BTF of its key and value");
  if (spec.value_size > max_value)
    return fail(E2BIG, fmt::format("value_size is {}, at most {}", spec.value_size, max_value));
  return {};
}
u64 local_storage_memlock(const MapFacts&, u32 cpus) {
  return 448 + 16 * u64{std::max(2u, std::bit_ceil(cpus))};
}

/// arena_map_alloc()
Result<void> check_arena(const MapSpec& spec) {
  constexpr u32 known = uapi::F_MMAPABLE | uapi::F_SEGV_ON_FAULT | uapi::F_NO_USER_CONV;
  SKEP_CHECKS(check_key(spec, 0));
  SKEP_CHECKS(check_value(spec, 0));
  SKEP_CHECKS(check_entries(spec));
  SKEP_CHECKS(check_flags(spec, known));
  if ((spec.flags & uapi::F_MMAPABLE) == 0) return fail(EINVAL, "needs BPF_F_MMAPABLE");
  if (spec.map_extra % page_bytes != 0)
    return fail(EINVAL, fmt::format("map_extra {:#x}, the address, is not a page's", spec.map_extra));
  const u64 range = u64{spec.max_entries} * page_bytes;
  if (range > u64{1} << 32) return fail(E2BIG, fmt::format("{} pages are more than 4 GB", spec.max_entries));
  if (spec.map_extra >> 32 != (spec.map_extra + range - 1) >> 32)
    return fail(ERANGE, "the range crosses a multiple of 4 GB");
  return {};
}
u64 no_memlock(const MapFacts&, u32) { return 0; }

/// Kernels that know no such type say EINVAL; a description of one that is complete is ENOTSUPP.
Result<void> check_struct_ops(const MapSpec& spec) {
  return fail(spec.btf_vmlinux_value_type_id == 0 ? EINVAL : kENOTSUPP,
              "tables of kernel functions have no meaning outside the kernel; not supported by skep");
}

}  // namespace

using Btf = MapTypeRow::Btf;
constinit const std::array<MapTypeRow, 8> reserved_rows = {{
    {MapType::stack_trace, check_stack_trace, make_stack_trace, Btf::no},
    {MapType::cgroup_storage, check_cgroup_storage, make<cgroup_storage_memlock>, Btf::cgroup_key},
    {MapType::percpu_cgroup_storage, check_cgroup_storage, make<cgroup_storage_memlock>, Btf::cgroup_key},
    {MapType::sk_storage, check_local_storage, make<local_storage_memlock>, Btf::int_key},
    {MapType::inode_storage, check_local_storage, make<local_storage_memlock>, Btf::int_key},
    {MapType::task_storage, check_local_storage, make<local_storage_memlock>, Btf::int_key},
    {MapType::cgrp_storage, check_local_storage, make<local_storage_memlock>, Btf::int_key},
    {MapType::arena, check_arena, make<no_memlock>, Btf::any},
}};
constinit const MapTypeRow struct_ops_row = {MapType::struct_ops, check_struct_ops, nullptr, Btf::no};

}  // namespace skep::maps
