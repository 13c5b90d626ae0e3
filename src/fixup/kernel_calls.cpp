// Calls of kernel functions (kfuncs): by BTF id in the program, by number in what runs (kernel:
// fixup_kfunc_call()).
#include <fmt/format.h>

#include <cerrno>

#include "fixup/rewrite.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::fixup {
namespace {

/// Functions that are a view of their first argument under another type.
bool is_cast(std::string_view name) { return name == "bpf_cast_to_kern_ctx" || name == "bpf_rdonly_cast"; }

}  // namespace

Result<Patch> kernel_call(const Source& source, const isa::Insn& insn, const verifier::InsnFacts&) {
  const auto id = static_cast<u32>(insn.imm);
  const std::string_view name =
      source.kernel_types != nullptr ? source.kernel_types->name(id) : std::string_view{};
  if (is_cast(name)) return Patch{isa::encode(isa::Form::MOV64_X, 0, 1)};
  const s32 function = helpers::kernel_function_id(name);
  if (function == 0)
    return fail(EOPNOTSUPP, fmt::format("skep cannot run programs that use the kernel's {} yet", name));
  return Patch{call(function)};
}

}  // namespace skep::fixup
