// BPF_PROG_LOAD: from a ProgramSpec to a Program that runs. load.cpp is the file to read first.
#pragma once
#include <functional>

#include "kernel/kernel.hpp"
#include "runtime/objects.hpp"

namespace skep::runtime {

/// The hash of program tags.
enum class TagHash : u8 { sha256, sha1 };

struct LoadEnvironment {
  std::function<Result<maps::MapRef>(int fd)> map_by_fd;
  std::function<Result<std::shared_ptr<BtfObject>>(int fd)> btf_by_fd;
  std::function<Result<std::shared_ptr<Program>>(int fd)> program_by_fd;
  TagHash tag_hash = TagHash::sha256;
  u32 uid = 0;
  bool no_jit = false;       ///< interpret
  bool harden = false;       ///< jit::Options::harden
  bool verify_only = false;  ///< make no code: the program cannot run
  std::shared_ptr<jit::CodePool> code_pool;
  std::function<void(u64 bytes)> verifier_memory;  ///< if set: told what the verifier's states took at most
  u32 cpus = 1;                             ///< possible CPUs: what bpf_get_smp_processor_id() stays below
  const btf::KernelBtf* vmlinux = nullptr;  ///< the kernel's types, for programs that name them
};

/// Checks the attributes, verifies, rewrites, prepares to run. Changes nothing but `log` (which is filled
/// also when the program is refused). The program has no id yet.
[[nodiscard]] Result<std::shared_ptr<Program>> load_program(const ProgramSpec& spec, const LogRequest& want,
                                                            Log* log, const LoadEnvironment& environment);

/// Eight bytes of hash over the instructions, map descriptors zeroed (bpf_prog_calc_tag()).
[[nodiscard]] u64 program_tag(std::span<const isa::Insn> insns, TagHash hash);

/// bpf_obj_name_cpy(): at most 15 characters of [A-Za-z0-9_.].
[[nodiscard]] bool object_name_ok(std::string_view name);

}  // namespace skep::runtime
