// Errors in messages.
#pragma once
#include <string>

namespace skep::loader {

/// "-EACCES", as libbpf 1.7 writes errors.
[[nodiscard]] std::string errno_name(int code);

}  // namespace skep::loader
