// An object without the program that loads it: what that one would set is filled in, so that each program can
// be judged by itself, as veristat(8) does.
#pragma once
#include "loader/object.hpp"

namespace skep::loader {

/// - Maps whose size is left to the loader (max_entries 0) get a small one, stack traces without a value size
/// 127
///   addresses, ring buffers and perf event arrays the key and value size that the kernel wants; CPU maps at
///   most 2.
/// - Kernel symbols that a strong extern names may be missing, as if it were weak: only programs that use one
/// are
///   refused.
/// - The flags that the kernel's own tests carry as BTF declaration tags ("comment:test_prog_flags=...") are
/// set.
/// - Section names of the time before libbpf 1.0 ("xdp_lb", "from-netdev", "socket1") name a type by what
/// they
///   begin with or hold; a program whose section says nothing keeps ProgType::unspec.
void prepare_to_judge(ObjectSpec& spec);

/// The file of kernel types that the program is to be relocated by, as the kernel's own tests name it
/// ("comment:test_btf_path=..."); empty: this machine's.
[[nodiscard]] std::string_view core_btf_of(const ObjectSpec& spec, const ProgramDef& program);

}  // namespace skep::loader
