// Elements for the maps of programs that are run on packets, as recordings of mode "seed1" have them.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "loader/loader.hpp"

namespace skep::corpus {

using Bytes = std::vector<std::byte>;

bool is_percpu(MapType type);
bool is_array(MapType type);

/// Puts elements into the arrays and hashes of an object: keys that the packets of the recording would look
/// up, by the size of the key; value i has 1 + i % 3 in every fourth byte.
void seed(Kernel& kernel, const loader::LoadedObject& object);

/// Elements named one by one: lines "MAP KEY VALUE", key and value in hexadecimal digits, the value for each
/// CPU alike. Maps that the object does not have are left out. Throws std::runtime_error for bad lines.
void put_elements(Kernel& kernel, const loader::LoadedObject& object, const std::string& path);

}  // namespace skep::corpus
