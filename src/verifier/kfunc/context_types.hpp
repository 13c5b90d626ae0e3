// The struct that programs of a type see as their context, and the kernel's own behind it, by name.
#pragma once
#include "btf/btf.hpp"
#include "kernel/uapi.hpp"

namespace skep::verifier::kfunc {

/// "xdp_md", "__sk_buff", ...; empty where the context has no type of its own.
[[nodiscard]] std::string_view program_context(ProgType type);
/// "xdp_buff", "sk_buff", ...: what bpf_cast_to_kern_ctx() gives; empty where that is no struct.
[[nodiscard]] std::string_view kernel_context(ProgType type);
/// `kernel_name` stands behind `program_name`, so that either may be passed (kernel: btf_is_projection_of()).
[[nodiscard]] bool is_projection(std::string_view program_name, std::string_view kernel_name);
/// A pointer to the context of programs of this type (kernel: btf_is_prog_ctx_type()).
[[nodiscard]] bool is_context_type(const btf::Btf& types, const btf::Type& pointer, ProgType type);
/// Why a pointer cannot be one to the context though a tag says so; empty if it can (kernel:
/// btf_validate_prog_ctx_type()).
[[nodiscard]] std::string wrong_context_type(const btf::Btf& types, const btf::Type& pointer, ProgType type,
                                             AttachType attach);

}  // namespace skep::verifier::kfunc
