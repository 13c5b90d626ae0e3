// The variables of data sections.
#pragma once
#include "btf/btf.hpp"

namespace skep::btf {

/// Of a DATASEC, the variable that holds byte `offset`: its VAR id, or 0.
[[nodiscard]] u32 variable_at(const Btf& btf, u32 datasec, u32 offset);
/// Of a DATASEC, the entry of the variable called `name`, or nullptr.
[[nodiscard]] const Entry* find_variable(const Btf& btf, u32 datasec, std::string_view name);

}  // namespace skep::btf
