// Where the types of "the kernel" come from: the machine's own, or a file.
#pragma once
#include <string>

#include "btf/kernel_btf.hpp"

namespace skep::runtime {

inline constexpr const char* machine_vmlinux = "/sys/kernel/btf/vmlinux";

/// Reads the BTF at `path` when first asked; if it is empty the machine's, or what skep carries where there
/// is none.
[[nodiscard]] btf::KernelBtf::Source vmlinux_source(std::string path = {});
/// Whether the machine's kernel lists a symbol in /proc/kallsyms, which is read when first asked; every
/// symbol is taken to be there where that file, or the machine's BTF, cannot be read.
[[nodiscard]] btf::KernelBtf::HasSymbol machine_symbols();

}  // namespace skep::runtime
