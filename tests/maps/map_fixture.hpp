// What the map tests share: an Environment, values as bytes, errnos of results.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/rcu.hpp"
#include "maps/map.hpp"

namespace skep::maps {

inline constexpr u32 test_cpus = 2;

class MapTest : public ::testing::Test {
 protected:
  ~MapTest() override { rcu::barrier(); }

  static MapSpec spec(MapType type, u32 key, u32 value, u32 entries, u32 flags = 0) {
    MapSpec spec;
    spec.type = type;
    spec.key_size = key;
    spec.value_size = value;
    spec.max_entries = entries;
    spec.flags = flags;
    return spec;
  }
  MapRef make(const MapSpec& of) {
    auto map = create(of, environment());
    EXPECT_TRUE(map.has_value()) << map.error().what;
    return map ? *map : nullptr;
  }

  Environment environment() { return {area_.get(), &objects_}; }

  /// Descriptors as tests give them out.
  struct TestObjects final : Objects {
    std::map<int, MapRef> maps;
    std::map<int, std::shared_ptr<const ProgramRef>> programs;
    Result<MapRef> map(int fd) override {
      const auto it = maps.find(fd);
      if (it == maps.end()) return fail(EBADF, "no such map");
      return it->second;
    }
    Result<std::shared_ptr<const ProgramRef>> program(int fd) override {
      const auto it = programs.find(fd);
      if (it == programs.end()) return fail(EBADF, "no such program");
      return it->second;
    }
  };

  std::unique_ptr<PercpuArea> area_ = *PercpuArea::create(test_cpus);
  TestObjects objects_;
};

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

inline std::vector<std::byte> bytes(std::string_view text) {
  const ByteView view = bytes_of(text);
  return {view.begin(), view.end()};
}
inline std::string text(ByteView bytes) { return std::string(chars_of(bytes)); }

/// user_lookup as text; "errno N" where it fails.
inline std::string look(Map& map, ByteView key) {
  std::vector<std::byte> value(map.user_value_size());
  const auto done = map.user_lookup(key, value, 0);
  return done ? text(value) : "errno " + std::to_string(done.error().code);
}

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(std::string(SKEP_GOLDEN_DIR) + "/" + name);
  return nlohmann::json::parse(file);
}

}  // namespace skep::maps
