// Whether two objects mean the same by a name that they share.
#pragma once
#include <string_view>

#include "base/result.hpp"
#include "btf/builder.hpp"

namespace skep::linker {

/// Two FUNCs or two VARs. Members of structs must agree but behind pointers, where names are enough and a
/// declaration will do; names of arguments, lengths of arrays, qualifiers and typedefs do not matter. EINVAL
/// that says what differs.
Result<void> types_match(std::string_view name, const btf::Builder& types, u32 ours, u32 theirs);

/// Two definitions of a map, VARs of .maps: all their attributes must agree.
Result<void> maps_match(std::string_view name, const btf::Builder& types, u32 ours, u32 theirs);

}  // namespace skep::linker
