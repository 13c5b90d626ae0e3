// lpm_trie against a list of prefixes that is searched from end to end: many random changes, with and without
// the index by the first bits, for several sizes of data.
#include <cerrno>
#include <random>

#include "maps/map_fixture.hpp"

namespace skep::maps {
namespace {

class LpmModel : public MapTest, public ::testing::WithParamInterface<u32> {
 protected:
  using Key = std::vector<std::byte>;  // prefix length, data
  static bool bit(const Key& key, u32 index) {
    return (static_cast<u32>(key[4 + index / 8]) >> (7 - index % 8) & 1) != 0;
  }
  static bool covers(const Key& prefix, const Key& key) {
    const u32 bits = load<u32>(prefix.data());
    if (bits > load<u32>(key.data())) return false;
    for (u32 i = 0; i < bits; ++i)
      if (bit(prefix, i) != bit(key, i)) return false;
    return true;
  }
  /// Bits behind the prefix do not matter: the model has them as zeros.
  static Key plain(Key key) {
    for (u32 i = load<u32>(key.data()); i < (key.size() - 4) * 8; ++i)
      key[4 + i / 8] &= static_cast<std::byte>(~(0x80u >> i % 8));
    return key;
  }
  Key any_key(u32 data_size, bool whole) {
    Key key(4 + data_size);
    // Few different bytes, so that prefixes meet.
    for (u32 i = 0; i < data_size; ++i)
      key[4 + i] = static_cast<std::byte>(random_() % (i < 2 ? 6 : 3) * 0x41);
    store(key.data(), whole ? data_size * 8 : static_cast<u32>(random_() % (data_size * 8 + 1)));
    return key;
  }
  std::mt19937 random_{12345};
};

TEST_P(LpmModel, FindsTheLongestPrefixAfterEveryChange) {
  const u32 data_size = GetParam();
  constexpr u32 limit = 300;
  const auto map = make(spec(MapType::lpm_trie, 4 + data_size, 8, limit, uapi::F_NO_PREALLOC));
  std::map<Key, u64> model;
  for (u32 step = 0; step < 6000; ++step) {
    // Grows, stays, shrinks.
    const bool grows = step % 2000 < 1200;
    const Key key = any_key(data_size, false);
    const u64 value = random_();
    const bool exists = model.contains(plain(key));
    if (random_() % 4 < (grows ? 3u : 1u)) {
      const u64 flags = random_() % 3;
      int expected = exists ? (flags == uapi::NOEXIST ? EEXIST : 0) : (flags == uapi::EXIST ? ENOENT : 0);
      if (!exists && expected == 0 && model.size() == limit) expected = ENOSPC;
      ASSERT_EQ(error_of(map->user_update(key, bytes_of(value), flags)), expected) << step;
      if (expected == 0) model[plain(key)] = value;
    } else {
      // Mostly one that is there.
      const Key gone = !model.empty() && random_() % 4 != 0
                           ? std::next(model.begin(), static_cast<long>(random_() % model.size()))->first
                           : plain(key);
      ASSERT_EQ(error_of(map->user_delete(gone)), model.erase(gone) != 0 ? 0 : ENOENT) << step;
    }
    for (u32 i = 0; i < 8; ++i) {
      const Key wanted = any_key(data_size, random_() % 4 != 0);
      const u64* expected = nullptr;
      u32 best = 0;
      for (const auto& [prefix, its] : model)
        if (covers(prefix, wanted) && (expected == nullptr || load<u32>(prefix.data()) >= best)) {
          best = load<u32>(prefix.data());
          expected = &its;
        }
      const std::byte* found = map->lookup(wanted.data(), 0);
      ASSERT_EQ(found != nullptr, expected != nullptr) << step;
      if (found != nullptr) {
        ASSERT_EQ(load<u64>(found), *expected) << step;
      }
    }
  }
  std::map<Key, u64> content;
  Key at(4 + data_size), next(4 + data_size);
  for (auto more = map->user_next_key({}, next); more; more = map->user_next_key(at, next)) {
    at = next;
    ASSERT_TRUE(content.emplace(plain(at), 0).second) << "visited twice";
    ASSERT_LE(content.size(), model.size());
  }
  EXPECT_EQ(content.size(), model.size());
  for (const auto& [key, value] : model) EXPECT_TRUE(content.contains(key));
}
INSTANTIATE_TEST_SUITE_P(DataSize, LpmModel, ::testing::Values(1u, 2u, 3u, 4u, 8u, 16u));

}  // namespace
}  // namespace skep::maps
