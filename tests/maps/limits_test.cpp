// Maps at their limits: a million entries, keys of 512 bytes, no room left, elements that go while somebody
// walks over them or holds them; on one thread and on several. Under ASan, UBSan and TSan too.
#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "maps/hash.hpp"
#include "maps/map_fixture.hpp"

namespace skep::maps {
namespace {

class Limits : public MapTest {
 protected:
  template <class Key>
  static int put(Map& map, const Key& key, u64 value, u64 flags = 0) {
    return map.update(bytes_of(key).data(), bytes_of(value).data(), flags, 0);
  }
  template <class Key>
  static std::optional<u64> get(Map& map, const Key& key) {
    const std::byte* found = map.lookup(bytes_of(key).data(), 0);
    return found == nullptr ? std::nullopt : std::optional(load<u64>(found));
  }
  template <class Key>
  static int drop(Map& map, const Key& key) {
    return map.remove(bytes_of(key).data());
  }
  static std::set<u32> keys_of(Map& map) {
    std::set<u32> keys;
    map.for_each(
        [](void* all, const std::byte* key, std::byte*) -> u64 {
          static_cast<std::set<u32>*>(all)->insert(load<u32>(key));
          return 0;
        },
        &keys, 0);
    return keys;
  }
  template <class F>
  static void on_threads(u32 threads, F body) {
    std::vector<std::thread> all;
    for (u32 i = 0; i < threads; ++i)
      all.emplace_back([&body, i] {
        const rcu::Reader reader;
        body(i);
      });
    for (std::thread& thread : all) thread.join();
  }
};

TEST_F(Limits, HashMapsHoldAMillionEntries) {
  constexpr u32 million = 1'000'000;
  for (const u32 flags : {0u, uapi::F_NO_PREALLOC}) {
    const auto map = make(spec(MapType::hash, 4, 8, million, flags));
    const rcu::Reader reader;
    for (u32 i = 0; i < million; ++i) ASSERT_EQ(put(*map, i * 2654435761u, i, uapi::NOEXIST), 0) << i;
    EXPECT_EQ(put(*map, million * 2654435761u, 1), -E2BIG);
    for (u32 i = 0; i < million; ++i) ASSERT_EQ(get(*map, i * 2654435761u), i);
    EXPECT_EQ(get(*map, million * 2654435761u), std::nullopt);
    for (u32 i = 0; i < million; i += 2) ASSERT_EQ(drop(*map, i * 2654435761u), 0);
    u64 count = 0;
    EXPECT_EQ(map->for_each(
                  [](void* sum, const std::byte* key, std::byte* value) -> u64 {
                    *static_cast<u64*>(sum) +=
                        load<u32>(key) == static_cast<u32>(load<u64>(value)) * 2654435761u;
                    return 0;
                  },
                  &count, 0),
              million / 2);
    EXPECT_EQ(count, million / 2);
    for (u32 i = 0; i < million; i += 2) {
      ASSERT_EQ(put(*map, i * 2654435761u, i), 0) << i;
      if (i % 64 == 0) rcu::quiescent();
    }
    EXPECT_EQ(put(*map, million * 2654435761u, 1), -E2BIG);
  }
}

TEST_F(Limits, OtherMapsHoldAMillionEntries) {
  constexpr u32 million = 1'000'000;
  const rcu::Reader reader;
  const auto lru = make(spec(MapType::lru_hash, 4, 8, million));
  for (u32 i = 0; i < 2 * million; ++i) ASSERT_EQ(put(*lru, i, i), 0);
  u32 newest = 0;
  for (u32 i = 2 * million - 1000; i < 2 * million; ++i) newest += get(*lru, i) == i;
  EXPECT_EQ(newest, 1000u) << "what came last stays";
  EXPECT_EQ(get(*lru, 0u), std::nullopt);
  struct Route {
    u32 prefix, address;
  };
  const auto trie = make(spec(MapType::lpm_trie, 8, 8, million, uapi::F_NO_PREALLOC));
  for (u32 i = 0; i < million; ++i) ASSERT_EQ(put(*trie, Route{32, i * 2654435761u}, i), 0);
  EXPECT_EQ(put(*trie, Route{31, 0}, 1), -ENOSPC);
  for (u32 i = 0; i < million; i += 7) ASSERT_EQ(get(*trie, Route{32, i * 2654435761u}), i);
  for (u32 i = 0; i < million; ++i) ASSERT_EQ(drop(*trie, Route{32, i * 2654435761u}), 0);
}

TEST_F(Limits, KeysMayHave512Bytes) {
  using Key = std::array<std::byte, 512>;
  const rcu::Reader reader;
  for (const MapType type :
       {MapType::hash, MapType::lru_hash, MapType::percpu_hash, MapType::lru_percpu_hash}) {
    const auto map = make(spec(type, 512, 8, 4096));
    const auto key = [](u32 i, u32 at) {  // keys that differ in one place only
      Key made{};
      store(made.data() + at, i);
      return made;
    };
    for (const u32 at : {0u, 252u, 508u}) {
      for (u32 i = 1; i <= 600; ++i) ASSERT_EQ(put(*map, key(i, at), i), 0);
      for (u32 i = 1; i <= 600; ++i) ASSERT_EQ(get(*map, key(i, at)), i) << map_type_name(type);
      EXPECT_EQ(get(*map, key(601, at)), std::nullopt);
    }
    for (u32 i = 1; i <= 600; ++i) ASSERT_EQ(drop(*map, key(i, 252)), 0);
    EXPECT_EQ(drop(*map, key(1, 252)), -ENOENT);
    EXPECT_EQ(get(*map, key(1, 252)), std::nullopt);
    EXPECT_EQ(get(*map, key(1, 508)), 1u);
    u32 count = 0;
    Key at{}, next{};
    for (auto more = map->user_next_key({}, next); more; more = map->user_next_key(at, next), ++count)
      at = next;
    EXPECT_EQ(count, 1200u);
  }
}

TEST_F(Limits, AMapIsFullAtItsLimitAndNotBefore) {
  const rcu::Reader reader;
  for (const u32 flags : {0u, uapi::F_NO_PREALLOC})
    for (const u32 limit : {1u, 2u, 7u, 64u, 1000u, 5000u}) {
      const auto map = make(spec(MapType::hash, 4, 8, limit, flags));
      for (u32 i = 0; i < limit; ++i) ASSERT_EQ(put(*map, i, i), 0) << limit;
      EXPECT_EQ(put(*map, limit, 1), -E2BIG);
      for (u32 i = 0; i < limit; ++i)
        ASSERT_EQ(put(*map, i, i + 1, uapi::EXIST), 0) << "replacing always works";
      // Without a grace period between: what is removed makes room at once.
      for (u32 round = 0; round < 3000; ++round) {
        ASSERT_EQ(drop(*map, round % limit), 0);
        ASSERT_EQ(put(*map, round % limit, round), 0) << limit << " " << round;
      }
      EXPECT_EQ(put(*map, limit, 1), -E2BIG);
      EXPECT_EQ(keys_of(*map).size(), limit);
    }
}

TEST_F(Limits, ThreadsTogetherFillAMapExactly) {
  for (const u32 limit : {3u, 700u, 6000u}) {
    const auto map = make(spec(MapType::hash, 4, 8, limit));
    std::atomic<u32> done{0};
    on_threads(4, [&](u32 thread) {
      u32 mine = 0;
      for (u32 i = 0; i < limit; ++i) {  // four times too many
        const int result = put(*map, i * 4 + thread, i);
        if (result != 0) {
          ASSERT_EQ(result, -E2BIG);
        }
        mine += result == 0;
        if (i % 3 == 0 && result == 0) {
          ASSERT_EQ(drop(*map, i * 4 + thread), 0);
          --mine;
        }
        if (i % 16 == 0) rcu::quiescent();
      }
      done.fetch_add(mine);
    });
    EXPECT_EQ(keys_of(*map).size(), done.load());
    EXPECT_LE(done.load(), limit);
    // Room that threads took in advance and did not use is not lost with them.
    const rcu::Reader reader;
    for (u32 i = 0; done.load() < limit; ++i) {
      ASSERT_EQ(put(*map, 0x80000000u + i, i), 0);
      done.fetch_add(1);
    }
    EXPECT_EQ(put(*map, 0xffffffffu, 0), -E2BIG);
    EXPECT_EQ(keys_of(*map).size(), limit);
  }
}

TEST_F(Limits, ElementsMayGoWhileTheyAreWalkedOver) {
  const rcu::Reader reader;
  for (const MapType type : {MapType::hash, MapType::lru_hash, MapType::percpu_hash}) {
    const auto map = make(spec(type, 4, 8, 4096));
    for (u32 i = 0; i < 2000; ++i) ASSERT_EQ(put(*map, i, i), 0);
    // Each is removed in its own visit, and the next one with it.
    struct Walk {
      Map& map;
      std::set<u32> seen;
    } walk{*map, {}};
    map->for_each(
        [](void* argument, const std::byte* key, std::byte* value) -> u64 {
          auto& at = *static_cast<Walk*>(argument);
          const u32 number = load<u32>(key);
          EXPECT_TRUE(at.seen.insert(number).second) << "twice";
          EXPECT_EQ(load<u64>(value), number);
          drop(at.map, number);
          drop(at.map, number ^ 1);
          return 0;
        },
        &walk, 0);
    EXPECT_TRUE(keys_of(*map).empty());
    // By bpf(2): an unknown key asks for the first one again, so the walk ends when nothing is left.
    for (u32 i = 0; i < 500; ++i) ASSERT_EQ(put(*map, i, i), 0);
    u32 key = 0, removed = 0;
    while (map->user_next_key({}, mut_bytes_of(key))) {
      ASSERT_TRUE(map->user_delete(bytes_of(key)).has_value());
      ++removed;
    }
    EXPECT_EQ(removed, 500u);
  }
}

TEST_F(Limits, AWalkSeesWhatStaysWhileOthersComeAndGo) {
  const auto map = make(spec(MapType::hash, 4, 8, 512));
  {
    const rcu::Reader reader;
    for (u32 i = 0; i < 100; ++i) ASSERT_EQ(put(*map, i, i), 0);
  }
  std::atomic<bool> stop{false};
  on_threads(3, [&](u32 thread) {
    if (thread == 0) {
      for (u32 round = 0; round < 300; ++round) {
        std::array<u32, 100> seen{};
        map->for_each(
            [](void* all, const std::byte* key, std::byte*) -> u64 {
              if (const u32 number = load<u32>(key); number < 100)
                ++(*static_cast<decltype(seen)*>(all))[number];
              return 0;
            },
            &seen, 0);
        ASSERT_EQ(std::count(seen.begin(), seen.end(), 1u), 100);
        rcu::quiescent();
      }
      stop = true;
    }
    for (u32 i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      const u32 key = 1000 + (i * 7 + thread * 1000) % 200;
      put(*map, key, i);
      drop(*map, key);
      rcu::quiescent();
    }
  });
}

/// What a program holds stays as it was until it returns, whoever removes and replaces it meanwhile; LRU maps
/// promise only that it is memory of the map.
TEST_F(Limits, WhatIsHeldStaysThoughItIsRemoved) {
  for (const MapType type : {MapType::hash, MapType::lru_hash, MapType::lpm_trie}) {
    struct Key {
      u32 prefix = 32, number = 0;
    };
    const u32 flags = type == MapType::lpm_trie ? u32{uapi::F_NO_PREALLOC} : 0;
    const auto map = make(spec(type, 8, 8, 64, flags));
    std::atomic<bool> stop{false};
    on_threads(3, [&](u32 thread) {
      if (thread == 0) {
        for (u32 round = 0; round < 4000; ++round) {
          const Key key{32, round % 16};
          if (const std::byte* found = map->lookup(bytes_of(key).data(), 0); found != nullptr) {
            auto* word = reinterpret_cast<u64*>(const_cast<std::byte*>(found));
            for (u32 again = 0; again < 20; ++again) {
              const u64 value = std::atomic_ref<u64>(*word).load(std::memory_order_relaxed);
              if (type == MapType::lru_hash) {
                ASSERT_LT(value, 1u << 20);
              } else {
                ASSERT_EQ(value % 16, key.number);
              }
            }
          }
          rcu::quiescent();
        }
        stop = true;
      }
      for (u32 i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        const Key key{32, i % 16};
        put(*map, key, i % (1 << 16) * 16 + key.number);
        if (i % 3 == thread) drop(*map, key);
        rcu::quiescent();
      }
    });
  }
}

/// A thread that wrote alone for long needs no locks; when another one comes, nothing may be lost.
TEST_F(Limits, AWriterThatWasAloneMakesRoomForOthers) {
  const auto map = make(spec(MapType::hash, 4, 8, 1u << 16));
  auto& hash = static_cast<HashMap&>(*map);
  constexpr u32 alone = WriterGate::look_every * (WriterGate::looks_first + 4);
  on_threads(1, [&](u32) {
    for (u32 i = 0; i < alone; ++i) {
      ASSERT_EQ(put(*map, i % 1000, i), 0);
      if (i % 64 == 0) rcu::quiescent();
    }
  });
  EXPECT_TRUE(hash.writers().owned());
  on_threads(4, [&](u32 thread) {
    for (u32 i = 0; i < 20000; ++i) {
      const u32 key = 1000 + i * 4 + thread;
      ASSERT_EQ(put(*map, key, i), 0);
      if (i % 2 == 0) {
        ASSERT_EQ(drop(*map, key), 0);
      }
      // All of them write to the same key, too.
      ASSERT_EQ(put(*map, 5u, i), 0);
      if (i % 64 == 0) rcu::quiescent();
    }
  });
  const rcu::Reader reader;
  EXPECT_EQ(keys_of(*map).size(), 1000u + 4 * 10000);
  for (u32 thread = 0; thread < 4; ++thread)
    for (u32 i = 1; i < 20000; i += 2) ASSERT_EQ(get(*map, 1000 + i * 4 + thread), i);
}

}  // namespace
}  // namespace skep::maps
