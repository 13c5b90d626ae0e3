// Hash maps against std::map under long random sequences, and under threads.
#include <cerrno>
#include <map>
#include <random>
#include <thread>

#include "maps/map_fixture.hpp"
#include "maps/value_copy.hpp"

namespace skep::maps {
namespace {

class HashModel : public MapTest, public ::testing::WithParamInterface<u32> {};

TEST_P(HashModel, BehavesAsAnOrdinaryMapWithALimit) {
  constexpr u32 limit = 50;
  for (const u32 key_size : {1u, 3u, 4u, 8u, 13u, 64u}) {
    const auto map = make(spec(MapType::hash, key_size, 8, limit, GetParam()));
    std::map<std::string, u64> model;
    std::mt19937 random(key_size);
    for (int step = 0; step < 20000; ++step) {
      std::string key(key_size, static_cast<char>(random() % 80));
      const u64 value = random();
      switch (random() % 4) {
        case 0:
        case 1: {
          const u64 flags = random() % 3;
          const bool exists = model.contains(key);
          int expected = exists ? (flags == uapi::NOEXIST ? EEXIST : 0) : (flags == uapi::EXIST ? ENOENT : 0);
          if (!exists && expected == 0 && model.size() == limit) expected = E2BIG;
          ASSERT_EQ(error_of(map->user_update(bytes_of(key), bytes_of(value), flags)), expected);
          if (expected == 0) model[key] = value;
          break;
        }
        case 2:
          ASSERT_EQ(error_of(map->user_delete(bytes_of(key))), model.erase(key) != 0 ? 0 : ENOENT);
          break;
        default: {
          u64 seen = 0;
          const int error = error_of(map->user_lookup(bytes_of(key), mut_bytes_of(seen), 0));
          ASSERT_EQ(error, model.contains(key) ? 0 : ENOENT);
          if (error == 0) {
            ASSERT_EQ(seen, model[key]);
          }
        }
      }
    }
    std::map<std::string, u64> content;
    std::vector<std::byte> at(key_size), next(key_size);
    for (auto more = map->user_next_key({}, next); more; more = map->user_next_key(at, next)) {
      at = next;
      u64 value = 0;
      ASSERT_TRUE(map->user_lookup(at, mut_bytes_of(value), 0).has_value());
      content[text(at)] = value;
    }
    EXPECT_EQ(content, model);
  }
}
INSTANTIATE_TEST_SUITE_P(Allocation, HashModel, ::testing::Values(0u, uapi::F_NO_PREALLOC));

/// Readers without locks must see whole values, and never an element's memory in its next life.
TEST_F(MapTest, ReadersOfAHashSeeWholeValuesWhileWritersReplaceAndDelete) {
  struct Value {
    u64 a, b, key;
  };
  constexpr u32 keys = 32;
  const auto map = make(spec(MapType::hash, 4, sizeof(Value), keys));
  std::atomic<bool> stop{false};
  std::atomic<u64> torn{0}, seen{0};
  const auto read = [&] {
    const rcu::Reader reader;
    std::mt19937 random(7);
    while (!stop.load(std::memory_order_relaxed)) {
      const u32 key = random() % keys;
      if (const std::byte* at = map->lookup(bytes_of(key).data(), 0); at != nullptr) {
        const auto value = load<Value>(at);
        if (value.a != ~value.b || value.key != key) ++torn;
        ++seen;
      }
      rcu::quiescent();
    }
  };
  const auto write = [&](u32 seed) {
    const rcu::Reader reader;
    std::mt19937 random(seed);
    for (int i = 0; i < 40000; ++i) {
      const u32 key = random() % keys;
      const u64 number = random();
      const Value value{number, ~number, key};
      if (number % 3 == 0)
        map->remove(bytes_of(key).data());
      else
        map->update(bytes_of(key).data(), bytes_of(value).data(), 0, 0);
      rcu::quiescent();
    }
  };
  std::vector<std::thread> threads;
  threads.emplace_back(read);
  threads.emplace_back(read);
  // On a busy machine the writers could be over before the readers begin.
  const Value zero{0, ~u64{0}, 0};
  {
    const rcu::Reader reader;
    ASSERT_EQ(map->update(bytes_of(u32{0}).data(), bytes_of(zero).data(), 0, 0), 0);
  }
  while (seen.load() == 0) std::this_thread::yield();
  std::thread first(write, 1), second(write, 2);
  first.join();
  second.join();
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(torn.load(), 0u);
  EXPECT_GT(seen.load(), 0u);
}

TEST_F(MapTest, CountersInArraysAddUpOverThreads) {
  const auto map = make(spec(MapType::array, 4, 8, 1));
  const auto count = [&] {
    const u32 key = 0;
    auto& counter = *reinterpret_cast<u64*>(map->lookup(bytes_of(key).data(), 0));
    for (int i = 0; i < 10000; ++i) std::atomic_ref<u64>(counter).fetch_add(1);
  };
  std::thread first(count), second(count);
  first.join();
  second.join();
  u64 total = 0;
  const u32 key = 0;
  ASSERT_TRUE(map->user_lookup(bytes_of(key), mut_bytes_of(total), 0).has_value());
  EXPECT_EQ(total, 20000u);
}

}  // namespace
}  // namespace skep::maps
