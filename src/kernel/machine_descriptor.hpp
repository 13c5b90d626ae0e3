// Map types whose values name things of the machine (sockets, cgroups, perf events) by the caller's
// descriptors, not objects of a Kernel (descriptor_in_value() of kernel.hpp). The descriptor is the value's
// first s32; a value of eight bytes whose number is greater than INT32_MAX holds none.
#pragma once
#include "base/bytes.hpp"
#include "kernel/uapi.hpp"

namespace skep {

[[nodiscard]] constexpr bool machine_descriptor_in_value(MapType type) {
  return type == MapType::sockmap || type == MapType::sockhash || type == MapType::xskmap ||
         type == MapType::reuseport_sockarray || type == MapType::cgroup_array ||
         type == MapType::perf_event_array;
}

/// Of one value of 4 or 8 bytes; negative: none.
[[nodiscard]] inline s32 machine_descriptor(ByteView value) {
  if (value.size() == 8 && load<u64>(value.data()) > INT32_MAX) return -1;
  return load<s32>(value.data());
}

}  // namespace skep
