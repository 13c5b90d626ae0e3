// bpf(2)'s commands on maps.
#include "base/limits.hpp"
#include "daemon/attr_io.hpp"
#include "kernel/machine_descriptor.hpp"

namespace skep::daemon {

namespace {

Result<void> create(Kernel& kernel, Caller& caller, attr::MapCreate& a) {
  MapSpec spec;
  spec.type = static_cast<MapType>(a.map_type);
  spec.key_size = a.key_size;
  spec.value_size = a.value_size;
  spec.max_entries = a.max_entries;
  spec.flags = a.map_flags;
  spec.name = TRY(name_of(a.map_name));
  spec.inner_map_fd = TRY(optional_object(caller, a.inner_map_fd, ObjectKind::map));
  spec.numa_node = a.numa_node;
  spec.ifindex = a.map_ifindex;
  spec.btf_fd = TRY(optional_object(caller, a.btf_fd, ObjectKind::btf));
  spec.btf_key_type_id = a.btf_key_type_id;
  spec.btf_value_type_id = a.btf_value_type_id;
  spec.btf_vmlinux_value_type_id = a.btf_vmlinux_value_type_id;
  spec.map_extra = a.map_extra;
  if (a.value_type_btf_obj_fd != 0 || a.map_token_fd != 0)
    return fail(EINVAL, "value_type_btf_obj_fd and map_token_fd are not supported");
  return caller.hand_out(TRY(kernel.map_create(spec)));
}

/// Room for values: bounded, since the caller's numbers decide it.
Result<std::vector<std::byte>> room_for(u64 size) {
  if (size > limits::max_request_bytes) return fail(E2BIG, "more bytes than one call may move");
  return std::vector<std::byte>(size);
}

/// Stands for what is no descriptor of the caller: the map says EBADF when its other checks have passed.
constexpr s32 no_descriptor = INT32_MAX;

/// The caller's descriptors in values as the Kernel's; nothing where values hold none.
Result<std::optional<std::vector<std::byte>>> with_kernels_descriptors(Caller& caller,
                                                                       const ElementSizes& sizes,
                                                                       ByteView values) {
  std::optional<std::vector<std::byte>> changed;
  if ((!sizes.descriptor && !sizes.machine_descriptor) || sizes.value == 0) return changed;
  changed.emplace(values.begin(), values.end());
  if (sizes.machine_descriptor) {
    for (std::size_t at = 0; at + sizes.value <= values.size(); at += sizes.value)
      if (const s32 fd = machine_descriptor(values.subspan(at, sizes.value)); fd >= 0)
        store(changed->data() + at, caller.machine_descriptor(fd));
    return changed;
  }
  for (std::size_t at = 0; at + sizes.value <= values.size(); at += sizes.value) {
    std::byte* field = changed->data() + at + sizes.descriptor->offset;
    const s32 fd = load<s32>(field);
    if (fd <= 0 && sizes.descriptor->optional) continue;
    const auto object = object_of(caller, static_cast<u32>(fd), sizes.descriptor->kind);
    if (!object && object.error().code != EBADF) return std::unexpected(object.error());
    store(field, object ? *object : no_descriptor);
  }
  return changed;
}

Result<void> element(Kernel& kernel, Caller& caller, Cmd cmd, attr::MapElem& a) {
  const int map = TRY(object_of(caller, a.map_fd, ObjectKind::map));
  if (cmd == Cmd::map_freeze) return kernel.map_freeze(map);
  const ElementSizes sizes = TRY(caller.element_sizes(kernel, a.map_fd));
  // Maps without keys: queue, stack, bloom_filter.
  if (sizes.key == 0 && a.key != 0) return fail(EINVAL, "a key for a map that has none");
  ByteView key;
  if (sizes.key != 0 && (a.key != 0 || cmd != Cmd::map_get_next_key))
    key = TRY(caller.read(a.key, sizes.key));
  switch (cmd) {
    case Cmd::map_lookup_elem:
    case Cmd::map_lookup_and_delete_elem: {
      auto value = TRY(room_for(sizes.value));
      // A bloom_filter is asked for the value that the caller brings.
      if (sizes.key == 0 && caller.readable(a.value) >= sizes.value)
        std::ranges::copy(TRY(caller.read(a.value, sizes.value)), value.begin());
      if (cmd == Cmd::map_lookup_elem)
        TRY(kernel.map_lookup_elem(map, key, value, a.flags));
      else
        TRY(kernel.map_lookup_and_delete_elem(map, key, value, a.flags));
      return caller.write(a.value, value);
    }
    case Cmd::map_update_elem: {
      ByteView value;
      if (sizes.value != 0) value = TRY(caller.read(a.value, sizes.value));
      const auto values = TRY(with_kernels_descriptors(caller, sizes, value));
      return kernel.map_update_elem(map, key, values ? ByteView(*values) : value, a.flags);
    }
    case Cmd::map_delete_elem:
      return kernel.map_delete_elem(map, key);
    case Cmd::map_get_next_key: {
      auto next = TRY(room_for(sizes.key));
      TRY(kernel.map_get_next_key(map, key, next));
      return caller.write(a.value, next);
    }
    default:
      return fail(EINVAL);
  }
}

Result<void> lookup_batch(Kernel& kernel, Caller& caller, attr::MapBatch& a, bool and_delete) {
  const int map = TRY(object_of(caller, a.map_fd, ObjectKind::map));
  const ElementSizes sizes = TRY(caller.element_sizes(kernel, a.map_fd));
  // The position: a bucket number for hashes, a key for everything else; as many bytes as the caller shows.
  ByteView from;
  const u64 position = std::max<u64>(4, sizes.key);
  if (a.in_batch != 0) from = TRY(caller.read(a.in_batch, std::min(position, caller.readable(a.in_batch))));
  auto next = TRY(room_for(position));
  auto keys = TRY(room_for(u64{sizes.key} * a.count));
  if (sizes.value != 0 && a.count > limits::max_request_bytes / sizes.value)
    return fail(E2BIG, "more bytes than one call may move");
  auto values = TRY(room_for(sizes.value * a.count));
  const u32 asked = std::exchange(a.count, 0);
  const auto done =
      TRY(kernel.map_lookup_batch(map, from, next, keys, values, asked, a.elem_flags, and_delete));
  const u32 count = std::min(done.count, asked);
  if (count > 0) {
    TRY(caller.write(a.keys, ByteView(keys).first(std::size_t{sizes.key} * count)));
    TRY(caller.write(a.values, ByteView(values).first(sizes.value * count)));
  }
  // A caller with a four-byte position (a hash's) has room for no more.
  if (!caller.write(a.out_batch, next)) TRY(caller.write(a.out_batch, ByteView(next).first(4)));
  a.count = count;
  if (done.end) return fail(ENOENT, "the map is exhausted");
  return {};
}

Result<void> batch(Kernel& kernel, Caller& caller, Cmd cmd, attr::MapBatch& a) {
  if (cmd == Cmd::map_lookup_batch || cmd == Cmd::map_lookup_and_delete_batch)
    return lookup_batch(kernel, caller, a, cmd == Cmd::map_lookup_and_delete_batch);
  const int map = TRY(object_of(caller, a.map_fd, ObjectKind::map));
  const ElementSizes sizes = TRY(caller.element_sizes(kernel, a.map_fd));
  const u32 asked = std::exchange(a.count, 0);
  const ByteView keys = TRY(caller.read(a.keys, u64{sizes.key} * asked));
  if (cmd == Cmd::map_delete_batch) {
    return kernel.map_delete_batch(map, keys, asked, a.count);
  }
  if (sizes.value > limits::max_request_bytes) return fail(E2BIG, "more bytes than one call may move");
  const ByteView values = TRY(caller.read(a.values, sizes.value * asked));
  const auto named = TRY(with_kernels_descriptors(caller, sizes, values));
  return kernel.map_update_batch(map, keys, named ? ByteView(*named) : values, asked, a.elem_flags, a.count);
}

}  // namespace

Result<void> serve_map_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes) {
  switch (cmd) {
    case Cmd::map_create:
      return with_attr<attr::MapCreate>(bytes, [&](auto& a) { return create(kernel, caller, a); });
    case Cmd::map_lookup_batch:
    case Cmd::map_lookup_and_delete_batch:
    case Cmd::map_update_batch:
    case Cmd::map_delete_batch:
      return with_attr<attr::MapBatch>(bytes, [&](auto& a) { return batch(kernel, caller, cmd, a); });
    default:
      return with_attr<attr::MapElem>(bytes, [&](auto& a) { return element(kernel, caller, cmd, a); });
  }
}

}  // namespace skep::daemon
