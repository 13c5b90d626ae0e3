// What programs have stored with a socket (BPF_MAP_TYPE_SK_STORAGE): one value a map. Used by one thread at a
// time: the socket is a test run's own.
#pragma once
#include <cstddef>
#include <vector>

#include "base/types.hpp"

namespace skep::helpers {

class SocketStorage {
 public:
  SocketStorage() = default;
  ~SocketStorage();
  SocketStorage(const SocketStorage&) = delete;
  SocketStorage& operator=(const SocketStorage&) = delete;

  [[nodiscard]] std::byte* find(const void* map) const;
  /// `size` zeroes; nullptr without memory. None of this map is there yet.
  std::byte* add(const void* map, u32 size);
  /// False: there was none. A program that still has a pointer to it must not be running.
  bool remove(const void* map);

 private:
  struct Element {
    const void* map;
    std::byte* value;
  };
  std::vector<Element> elements_;
};

}  // namespace skep::helpers
