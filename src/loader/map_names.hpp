// Names of maps as kernels see them.
#pragma once
#include <string>

namespace skep::loader {

/// What of a map's name goes to the kernel: the first 15 characters.
[[nodiscard]] std::string kernel_name(std::string_view name);
/// libbpf's name for the map of a data section: up to 8 characters of the object's name and the section's
/// ("hello.bss", "my_objec.rodata"), or the section's alone if it has a second dot (".data.custom"); 15 in
/// all.
[[nodiscard]] std::string data_map_name(std::string_view object, std::string_view section);

}  // namespace skep::loader
