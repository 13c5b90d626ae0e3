// See seeding.hpp.
#include "corpus/seeding.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace skep::corpus {

bool is_percpu(MapType type) {
  return type == MapType::percpu_array || type == MapType::percpu_hash || type == MapType::lru_percpu_hash;
}
bool is_array(MapType type) { return type == MapType::array || type == MapType::percpu_array; }

namespace {

Bytes bytes(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

/// Keys that packets of the recording would look up, by the size of the key.
std::vector<Bytes> seed_keys(const MapInfo& info) {
  const Bytes source4 = bytes({10, 1, 1, 1}), destination4 = bytes({10, 1, 1, 2});
  std::vector<Bytes> keys;
  const auto number = [&](auto value) {
    const ByteView view = bytes_of(value);
    keys.emplace_back(view.begin(), view.end());
  };
  const auto padded = [](Bytes key, std::size_t size) {
    key.resize(size);
    return key;
  };
  if (info.type == MapType::lpm_trie) {
    if (info.key_size == 8) keys.push_back(bytes({24, 0, 0, 0, 10, 1, 1, 0}));
    if (info.key_size == 20) keys.push_back(padded(bytes({64, 0, 0, 0, 0xfd}), 20));
    return keys;
  }
  switch (info.key_size) {
    case 1:
      for (const int i : {0, 1, 2, 3, 6, 17}) keys.push_back(bytes({i}));
      break;
    case 2:
      for (const u16 port : {0, 1, 80, 443, 53, 9999}) {
        number(port);
        const u16 swapped = __builtin_bswap16(port);
        if (swapped != port) number(swapped);
      }
      break;
    case 4:
      keys.push_back(source4);
      keys.push_back(destination4);
      for (const u32 i : {0u, 1u, 2u, 3u, 6u, 17u, 80u, 443u, 53u}) number(i);
      break;
    case 6:
      keys.push_back(bytes({2, 0xaa, 0xbb, 0xcc, 0, 1}));
      keys.push_back(bytes({2, 0xaa, 0xbb, 0xcc, 0, 2}));
      break;
    case 8:
      keys.push_back(Bytes(8));
      keys.push_back(bytes({10, 1, 1, 1, 10, 1, 1, 2}));
      break;
    case 16:
      for (const int last : {1, 2}) {
        Bytes key = padded(bytes({0xfd}), 16);
        key[15] = static_cast<std::byte>(last);
        keys.push_back(key);
      }
      keys.push_back(padded(source4, 16));
      keys.push_back(padded(destination4, 16));
      break;
    default:
      break;
  }
  return keys;
}

Bytes from_hex(const std::string& digits) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

void seed(Kernel& kernel, const loader::LoadedObject& object) {
  for (const loader::LoadedMap& map : object.maps) {
    if (!map.handle || map.name.find('.') != std::string::npos) continue;
    const auto info = kernel.map_info(map.handle.fd());
    if (!info) continue;
    const std::size_t slot = (info->value_size + 7) / 8 * 8;
    const auto value = [&](u32 i) {
      const u32 cpus = is_percpu(info->type) ? kernel.possible_cpus().value_or(1) : 1;
      const std::size_t stride = is_percpu(info->type) ? slot : info->value_size;
      Bytes bytes(stride * cpus);
      for (u32 cpu = 0; cpu < cpus; ++cpu)
        for (std::size_t at = 0; at < info->value_size; at += 4)
          bytes[cpu * stride + at] = static_cast<std::byte>(1 + i % 3);
      return bytes;
    };
    if (is_array(info->type)) {
      for (u32 i = 0; i < std::min(info->max_entries, 64u); ++i)
        (void)kernel.map_update_elem(map.handle.fd(), bytes_of(i), value(i), 0);
    } else if (info->type == MapType::hash || info->type == MapType::lru_hash || is_percpu(info->type) ||
               info->type == MapType::lpm_trie) {
      u32 i = 0;
      for (const Bytes& key : seed_keys(*info))
        (void)kernel.map_update_elem(map.handle.fd(), key, value(i++), 0);
    }
  }
}

void put_elements(Kernel& kernel, const loader::LoadedObject& object, const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error(path + ": cannot be read");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name, key, value;
    if (!(words >> name) || name.starts_with("#")) continue;
    if (!(words >> key >> value)) throw std::runtime_error(path + ": not MAP KEY VALUE: " + line);
    for (const loader::LoadedMap& map : object.maps) {
      if (map.name != name || !map.handle) continue;
      const auto info = kernel.map_info(map.handle.fd());
      if (!info) throw std::runtime_error(name + ": " + info.error().what);
      Bytes one = from_hex(value), all;
      one.resize(is_percpu(info->type) ? (info->value_size + 7) / 8 * 8 : info->value_size);
      for (u32 cpu = is_percpu(info->type) ? kernel.possible_cpus().value_or(1) : 1; cpu > 0; --cpu)
        all.insert(all.end(), one.begin(), one.end());
      Bytes wanted = from_hex(key);
      wanted.resize(info->key_size);
      if (const auto put = kernel.map_update_elem(map.handle.fd(), wanted, all, 0); !put)
        throw std::runtime_error(line + ": " + put.error().what);
    }
  }
}

}  // namespace skep::corpus
