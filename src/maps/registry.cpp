// The table of map types, and what BPF_MAP_CREATE checks for all of them (map_create() of
// kernel/bpf/syscall.c).
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "maps/types.hpp"

namespace skep::maps {
namespace {

constexpr std::array own_rows = {
    &array_row,     &percpu_array_row, &prog_array_row,  &array_of_maps_row, &cgroup_array_row,
    &lpm_trie_row,  &devmap_row,       &devmap_hash_row, &cpumap_row,        &perf_event_array_row,
    &ringbuf_row,   &user_ringbuf_row, &queue_row,       &stack_row,         &bloom_filter_row,
    &struct_ops_row};

bool name_ok(std::string_view name) {
  return name.size() < 16 && std::ranges::all_of(
                                 name,
                                 [](char c) {
                                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                          (c >= '0' && c <= '9') || c == '_' || c == '.';
                                 });
}

bool numa_node_online(u32 node) {
  struct stat info{};
  const std::string path = "/sys/devices/system/node/node" + std::to_string(node);
  return node == 0 || ::stat(path.c_str(), &info) == 0;
}

Result<void> check_common(const MapSpec& spec) {
  if (spec.btf_vmlinux_value_type_id != 0) {
    if (spec.type != MapType::struct_ops || spec.btf_key_type_id != 0 || spec.btf_value_type_id != 0)
      return fail(EINVAL, "btf_vmlinux_value_type_id is for struct_ops maps only");
  } else if (spec.btf_key_type_id != 0 && spec.btf_value_type_id == 0) {
    return fail(EINVAL, "btf_key_type_id without btf_value_type_id");
  }
  if (spec.map_extra != 0 && spec.type != MapType::bloom_filter && spec.type != MapType::arena)
    return fail(EINVAL, "map_extra is for bloom_filter and arena maps only");
  if ((spec.flags & (uapi::F_RDONLY | uapi::F_WRONLY)) == (uapi::F_RDONLY | uapi::F_WRONLY))
    return fail(EINVAL, "map_flags say both BPF_F_RDONLY and BPF_F_WRONLY");
  if ((spec.flags & uapi::F_NUMA_NODE) != 0) {
    if (!numa_node_online(spec.numa_node))
      return fail(EINVAL, "numa_node " + std::to_string(spec.numa_node) + " is not online");
  } else if (spec.numa_node != 0) {
    return fail(EINVAL, "numa_node without BPF_F_NUMA_NODE");
  }
  return {};
}

/// Which maps can stand in others (bpf_map_meta_alloc(), ops->map_meta_equal).
Result<MapRef> inner_map(const MapSpec& spec, const Environment& environment) {
  if (environment.objects == nullptr) return fail(EBADF, "inner_map_fd: there are no descriptors");
  MapRef inner = TRY(with_context(environment.objects->map(spec.inner_map_fd), "inner_map_fd"));
  const MapFacts& facts = inner->facts();
  if (facts.inner != nullptr) return fail(EINVAL, "a map of maps of maps");
  if (facts.type == MapType::prog_array || facts.type == MapType::cgroup_storage ||
      facts.type == MapType::percpu_cgroup_storage)
    return fail(kENOTSUPP, "a map of " + std::string(map_type_name(facts.type)) + " maps");
  return inner;
}

}  // namespace

const MapTypeRow* find_row(MapType type) {
  for (const MapTypeRow* row : own_rows)
    if (row->type == type) return row;
  for (const MapTypeRow& row : hash_rows)
    if (row.type == type) return &row;
  for (const MapTypeRow& row : socket_rows)
    if (row.type == type) return &row;
  for (const MapTypeRow& row : reserved_rows)
    if (row.type == type) return &row;
  return nullptr;
}

Result<MapRef> create(const MapSpec& spec, const Environment& environment) {
  if (auto ok = check_common(spec); !ok) return std::unexpected(std::move(ok).error());
  const std::string_view type = map_type_name(spec.type);
  if (spec.type == MapType::unspec || type.empty())
    return fail(EINVAL, "map type " + std::to_string(static_cast<u32>(spec.type)) + " does not exist");
  const MapTypeRow* row = find_row(spec.type);
  if (row == nullptr) return fail(EINVAL, "map type " + std::string(type) + " is not supported by skep");
  if (auto ok = with_context(row->check(spec), type); !ok) return std::unexpected(std::move(ok).error());
  if (spec.ifindex != 0)
    return fail(EINVAL, "maps offloaded to a device (map_ifindex) are not supported by skep");
  if (!name_ok(spec.name)) return fail(EINVAL, "map name '" + spec.name + "': at most 15 of [A-Za-z0-9_.]");
  MapRef inner;
  if (spec.type == MapType::array_of_maps || spec.type == MapType::hash_of_maps)
    inner = TRY(with_context(inner_map(spec, environment), type));
  MapRef map = TRY(with_context(row->make(spec, environment), type));
  if (inner != nullptr) map->set_inner(*inner);
  map->mutable_facts().map_address = reinterpret_cast<u64>(map.get());
  return map;
}

}  // namespace skep::maps
