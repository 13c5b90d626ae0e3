// What BPF_MAP_CREATE checks where a map has BTF (map_check_btf() of kernel/bpf/syscall.c).
#pragma once
#include "btf/btf.hpp"
#include "kernel/kernel.hpp"
#include "maps/facts.hpp"

namespace skep::runtime {

/// EINVAL where the key's or value's type does not fit the map. Sets the offsets of special fields in
/// `facts`.
[[nodiscard]] Result<void> check_map_btf(const MapSpec& spec, const btf::Btf& btf, maps::MapFacts& facts);

}  // namespace skep::runtime
