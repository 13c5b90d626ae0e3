// The helpers: what the verifier demands of each (contracts/), which program types may call it (names.cpp),
// and its code (one file a family, listed in table.cpp).
#pragma once
#include <string_view>

#include "helpers/contract.hpp"
#include "helpers/internal.hpp"
#include "helpers/run_context.hpp"
#include "kernel/uapi.hpp"

namespace skep::helpers {

/// The contract of helper `id` if programs of this type may call it, else nullptr: the verifier knows every
/// helper of Linux 6.18, whether or not its code is there. Fits verifier::Input::helper.
[[nodiscard]] const Contract* lookup(ProgType type, AttachType attach, u32 id);

/// Whether Linux 6.18 lets programs of this type call helper `id`, at some hook or at this one.
[[nodiscard]] bool allowed(ProgType type, u32 id);
[[nodiscard]] bool allowed(ProgType type, AttachType attach, u32 id);

/// "bpf_map_lookup_elem" for every helper of Linux 6.18; "unknown" for other numbers, as the verifier says.
/// Fits verifier::Input::helper_name.
[[nodiscard]] std::string_view name(u32 id);
/// One above the greatest helper id (__BPF_FUNC_MAX_ID).
inline constexpr s32 max_id = 212;

/// The code of a helper, as programs of this type call it, of an InternalFn or of a kernel function
/// (kernel_functions.hpp); nullptr if there is none.
/// Fits vm::LinkTable::helper.
[[nodiscard]] HelperFn function(ProgType type, s32 id);

/// Where `dump xlated` and the symbol table place a function: its address minus __bpf_call_base. Stable,
/// negative, distinct for each id; 0 for an id that is neither a helper nor an InternalFn.
[[nodiscard]] s32 symbol_offset(s32 id);
/// The id that symbol_offset() gives this number for; 0: none.
[[nodiscard]] s32 id_of_symbol_offset(s32 offset);

}  // namespace skep::helpers
