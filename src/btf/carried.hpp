// The types of a Linux 6.18 that skep carries for machines whose kernel tells none: those that kernel
// functions, tracepoints, iterators and the structs that programs mostly read are made of
// (data/kernel.btf.gz, made by tools/make-kernel-btf from an x86-64 kernel's own BTF).
#pragma once
#include "btf/btf.hpp"

namespace skep::btf {

/// The bytes of the BTF.
Result<std::vector<std::byte>> carried_kernel_btf();

}  // namespace skep::btf
