// AttrKernel: the commands on maps.
#include <fmt/format.h>

#include "client/attr_kernel.hpp"
#include "kernel/machine_descriptor.hpp"

namespace skep::client {

namespace {

/// Per-CPU values come as one slot of the rounded value size for each possible CPU (the kernel's
/// bpf_map_value_size()).
bool is_per_cpu(MapType type) {
  return type == MapType::percpu_hash || type == MapType::percpu_array || type == MapType::lru_percpu_hash ||
         type == MapType::percpu_cgroup_storage;
}

Result<void> copy_name(std::string_view name, attr::Name& to) {
  if (name.size() >= sizeof to)
    return fail(EINVAL, fmt::format("the name '{}' is longer than {} characters", name, sizeof to - 1));
  std::memcpy(to, name.data(), name.size());
  return {};
}

}  // namespace

Handle AttrKernel::handle(ObjectKind kind, int fd) {
  if (kind == ObjectKind::map) sizes_[fd] = std::nullopt;
  return Handle(*this, kind, fd);
}

void AttrKernel::close(ObjectKind kind, int fd) noexcept {
  if (kind == ObjectKind::map) sizes_.erase(fd);
  UniqueFd closed(fd);
}

Result<Handle> AttrKernel::map_create(const MapSpec& spec) {
  attr::MapCreate a{};
  BpfCall call(Cmd::map_create, a);
  a.map_type = static_cast<u32>(spec.type);
  a.key_size = spec.key_size;
  a.value_size = spec.value_size;
  a.max_entries = spec.max_entries;
  a.map_flags = spec.flags;
  a.inner_map_fd = call.fd_or_zero(spec.inner_map_fd);
  a.numa_node = spec.numa_node;
  TRY(copy_name(spec.name, a.map_name));
  a.map_ifindex = spec.ifindex;
  a.btf_fd = call.fd_or_zero(spec.btf_fd);
  a.btf_key_type_id = spec.btf_key_type_id;
  a.btf_value_type_id = spec.btf_value_type_id;
  a.btf_vmlinux_value_type_id = spec.btf_vmlinux_value_type_id;
  a.map_extra = spec.map_extra;
  return handle(ObjectKind::map, TRY(bpf(call)));
}

Result<AttrKernel::ElementSizes> AttrKernel::element_sizes(int map) {
  const auto known = sizes_.find(map);
  if (known != sizes_.end() && known->second) return *known->second;
  attr::GetInfo a{};
  attr::MapInfo info{};
  BpfCall call(Cmd::obj_get_info_by_fd, a);
  TRY(get_info(call, a, map, mut_bytes_of(info)));
  ElementSizes sizes{info.key_size, info.value_size,
                     descriptor_in_value(static_cast<MapType>(info.type), info.value_size),
                     machine_descriptor_in_value(static_cast<MapType>(info.type))};
  if (is_per_cpu(static_cast<MapType>(info.type)))
    sizes.value = ((u64{info.value_size} + 7) & ~u64{7}) * TRY(possible_cpus());
  if (known != sizes_.end()) known->second = sizes;
  return sizes;
}

/// The kernel reads and writes as many bytes as the map's sizes say, whatever the caller holds: the lengths
/// must agree before it does.
Result<void> AttrKernel::check_element(int map, std::size_t key, std::optional<std::size_t> value) {
  const ElementSizes sizes = TRY(element_sizes(map));
  if (key != sizes.key)
    return fail(EINVAL, fmt::format("the key has {} bytes, the map's keys {}", key, sizes.key));
  if (value && *value != sizes.value)
    return fail(EINVAL, fmt::format("the value has {} bytes, the map's values {}", *value, sizes.value));
  return {};
}

Result<void> AttrKernel::note_descriptors(BpfCall& call, int map, ByteView values) {
  const ElementSizes sizes = TRY(element_sizes(map));
  if (sizes.value == 0) return {};
  for (std::size_t at = 0; sizes.machine_descriptor && at + sizes.value <= values.size(); at += sizes.value)
    if (const s32 fd = machine_descriptor(values.subspan(at, sizes.value)); fd >= 0) call.fd(fd);
  if (!sizes.descriptor) return {};
  for (std::size_t at = 0; at + sizes.value <= values.size(); at += sizes.value) {
    const s32 fd = load<s32>(values.data() + at + sizes.descriptor->offset);
    if (fd > 0 || !sizes.descriptor->optional) call.fd(fd);
  }
  return {};
}

Result<void> AttrKernel::element_call(Cmd cmd, int map, ByteView key, u64 flags, MutBytes out_value,
                                      ByteView in_value) {
  attr::MapElem a{};
  BpfCall call(cmd, a);
  a.map_fd = call.fd(map);
  a.key = call.in(key);
  if (out_value.empty()) {
    a.value = call.in(in_value);
    TRY(note_descriptors(call, map, in_value));
  } else {
    // A map without keys may be asked for the value that stands there (bloom_filter).
    a.value = key.empty() && cmd == Cmd::map_lookup_elem ? call.inout(out_value) : call.out(out_value);
  }
  a.flags = flags;
  TRY(bpf(call));
  return {};
}

Result<void> AttrKernel::map_lookup_elem(int map, ByteView key, MutBytes value, u64 flags) {
  TRY(check_element(map, key.size(), value.size()));
  return element_call(Cmd::map_lookup_elem, map, key, flags, value, {});
}

Result<void> AttrKernel::map_update_elem(int map, ByteView key, ByteView value, u64 flags) {
  TRY(check_element(map, key.size(), value.size()));
  return element_call(Cmd::map_update_elem, map, key, flags, {}, value);
}

Result<void> AttrKernel::map_delete_elem(int map, ByteView key) {
  TRY(check_element(map, key.size(), {}));
  return element_call(Cmd::map_delete_elem, map, key, 0, {}, {});
}

Result<void> AttrKernel::map_get_next_key(int map, ByteView key, MutBytes next_key) {
  TRY(check_element(map, key.empty() ? next_key.size() : key.size(), {}));
  if (!key.empty()) TRY(check_element(map, next_key.size(), {}));
  return element_call(Cmd::map_get_next_key, map, key, 0, next_key, {});
}

Result<void> AttrKernel::map_lookup_and_delete_elem(int map, ByteView key, MutBytes value, u64 flags) {
  TRY(check_element(map, key.size(), value.size()));
  return element_call(Cmd::map_lookup_and_delete_elem, map, key, flags, value, {});
}

Result<void> AttrKernel::map_freeze(int map) {
  attr::MapElem a{};
  BpfCall call(Cmd::map_freeze, a);
  a.map_fd = call.fd(map);
  TRY(bpf(call));
  return {};
}

Result<void> AttrKernel::check_batch(int map, u32 count, std::size_t keys,
                                     std::optional<std::size_t> values) {
  const ElementSizes sizes = TRY(element_sizes(map));
  if (keys != u64{sizes.key} * count || (values && *values != sizes.value * count))
    return fail(EINVAL, fmt::format("the batch's buffers do not hold {} elements of {} and {} bytes", count,
                                    sizes.key, sizes.value));
  return {};
}

Result<BatchResult> AttrKernel::map_lookup_batch(int map, ByteView in_batch, MutBytes out_batch,
                                                 MutBytes keys, MutBytes values, u32 max_count,
                                                 u64 elem_flags, bool and_delete) {
  TRY(check_batch(map, max_count, keys.size(), values.size()));
  // The position is a bucket number (hashes) or a key (everything else).
  const std::size_t position = std::max<std::size_t>(4, TRY(element_sizes(map)).key);
  if (out_batch.size() < position || (!in_batch.empty() && in_batch.size() < position)) {
    if (out_batch.size() < 4 || TRY(map_info(map)).type != MapType::hash)
      return fail(EINVAL, fmt::format("a batch position takes {} bytes", position));
  }
  attr::MapBatch a{};
  BpfCall call(and_delete ? Cmd::map_lookup_and_delete_batch : Cmd::map_lookup_batch, a);
  a.in_batch = call.in(in_batch);
  a.out_batch = call.out(out_batch);
  a.keys = call.out(keys);
  a.values = call.out(values);
  a.count = max_count;
  a.map_fd = call.fd(map);
  a.elem_flags = elem_flags;
  const auto done = bpf(call);
  if (!done && done.error().code != ENOENT) return std::unexpected(done.error());
  return BatchResult{a.count, !done};
}

Result<void> AttrKernel::map_update_batch(int map, ByteView keys, ByteView values, u32 count, u64 elem_flags,
                                          u32& done) {
  done = 0;
  TRY(check_batch(map, count, keys.size(), values.size()));
  attr::MapBatch a{};
  BpfCall call(Cmd::map_update_batch, a);
  a.keys = call.in(keys);
  a.values = call.in(values);
  a.count = count;
  a.map_fd = call.fd(map);
  a.elem_flags = elem_flags;
  TRY(note_descriptors(call, map, values));
  const auto result = bpf(call);
  // The attr comes back also with an error, but for errors that were found before the first element.
  if (result || a.count != count) done = a.count;
  if (!result) return std::unexpected(result.error());
  return {};
}

Result<void> AttrKernel::map_delete_batch(int map, ByteView keys, u32 count, u32& done) {
  done = 0;
  TRY(check_batch(map, count, keys.size(), {}));
  attr::MapBatch a{};
  BpfCall call(Cmd::map_delete_batch, a);
  a.keys = call.in(keys);
  a.count = count;
  a.map_fd = call.fd(map);
  const auto result = bpf(call);
  // The attr comes back also with an error, but for errors that were found before the first element.
  if (result || a.count != count) done = a.count;
  if (!result) return std::unexpected(result.error());
  return {};
}

}  // namespace skep::client
