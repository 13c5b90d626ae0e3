// Operations of several threads on a few keys of a map, each with the times of its call and its return: there
// must be an order that explains what all of them answered. Run under ThreadSanitizer too.
#include "maps/history.hpp"

#include <cerrno>
#include <random>
#include <thread>

#include "maps/hash.hpp"
#include "maps/map_fixture.hpp"

namespace skep::maps {
namespace {

using Kind = Operation::Kind;

struct Case {
  std::string_view name;
  MapType type;
  u32 entries;
  u32 flags = 0;
};
void PrintTo(const Case& of, std::ostream* out) { *out << of.name; }

class Linearizable : public MapTest, public ::testing::WithParamInterface<Case> {
 protected:
  static constexpr u32 threads = 3, keys = 6;
  using KeyBytes = std::array<std::byte, 8>;
  /// For a trie: 32 bits of prefix; keys that share long prefixes and that do not.
  static KeyBytes key_of(u32 number) {
    KeyBytes key;
    store(key.data(), u32{32});
    store(key.data() + 4, number % 2 == 0 ? number << 24 : number << 16 | 0x0a);
    return key;
  }
  Operation one(Map& map, u32 thread, u32 step, u32 key, std::mt19937& random) const {
    const KeyBytes bytes = key_of(key);
    Operation did;
    const u32 which = random() % 10;
    did.kind = which < 4 ? Kind::lookup : which < 8 ? Kind::update : Kind::remove;
    did.flags = random() % 3;
    did.value = u64{thread} << 32 | step;
    did.called = history_clock();
    switch (did.kind) {
      case Kind::lookup: {
        std::byte* found = map.lookup(bytes.data(), thread % test_cpus);
        did.result = found == nullptr ? -ENOENT : 0;
        // An LRU's value may be another key's as soon as it was found (see hash.hpp).
        did.vague = GetParam().type == MapType::lru_hash;
        if (found != nullptr && !did.vague)
          did.value = std::atomic_ref<u64>(*reinterpret_cast<u64*>(found)).load(std::memory_order_relaxed);
        break;
      }
      case Kind::update:
        did.result = map.update(bytes.data(), bytes_of(did.value).data(), did.flags, thread % test_cpus);
        break;
      default:
        did.result = map.remove(bytes.data());
    }
    did.returned = history_clock();
    return did;
  }
};

TEST_P(Linearizable, SomeOrderExplainsWhatThreadsSaw) {
  constexpr u32 rounds = 20, steps = 600;
  for (u32 round = 0; round < rounds; ++round) {
    const auto map = make(spec(GetParam().type, 8, 8, GetParam().entries, GetParam().flags));
    // histories[key][thread]
    std::array<std::vector<History>, keys> histories;
    for (auto& of_key : histories) of_key.resize(threads);
    std::atomic<u32> ready{0};
    std::vector<std::thread> all;
    for (u32 thread = 0; thread < threads; ++thread)
      all.emplace_back([&, thread] {
        const rcu::Reader reader;
        std::mt19937 random(round * threads + thread);
        ready.fetch_add(1);
        while (ready.load() != threads) std::this_thread::yield();
        for (u32 step = 0; step < steps; ++step) {
          const u32 key = random() % keys;
          histories[key][thread].push_back(one(*map, thread, step, key, random));
          if (step % 4 == 0) rcu::quiescent();
        }
      });
    for (std::thread& thread : all) thread.join();
    for (u32 key = 0; key < keys; ++key)
      ASSERT_TRUE(LinearizabilityCheck(histories[key]).passes()) << "round " << round << ", key " << key;
  }
}
INSTANTIATE_TEST_SUITE_P(Maps, Linearizable,
                         ::testing::Values(Case{"hash", MapType::hash, 64},
                                           Case{"hash_one_bucket", MapType::hash, 6},
                                           Case{"hash_no_prealloc", MapType::hash, 64, uapi::F_NO_PREALLOC},
                                           Case{"lru_hash", MapType::lru_hash, 4096},
                                           Case{"lpm_trie", MapType::lpm_trie, 64, uapi::F_NO_PREALLOC}),
                         [](const auto& of) { return std::string(of.param.name); });

// The checker itself: a test that could not fail would say nothing.

Operation op(Kind kind, u64 value, int result, s64 called, s64 returned) {
  Operation of;
  of.kind = kind;
  of.value = value;
  of.result = result;
  of.called = called;
  of.returned = returned;
  return of;
}

TEST(LinearizabilityCheck, TakesWhatOverlapsInAnyOrder) {
  const History writer{op(Kind::update, 7, 0, 1, 10)};
  EXPECT_TRUE(LinearizabilityCheck({writer, {op(Kind::lookup, 0, -ENOENT, 2, 9)}}).passes());
  EXPECT_TRUE(LinearizabilityCheck({writer, {op(Kind::lookup, 7, 0, 2, 9)}}).passes());
  EXPECT_TRUE(
      LinearizabilityCheck({writer, {op(Kind::remove, 0, 0, 3, 20), op(Kind::lookup, 0, -ENOENT, 21, 22)}})
          .passes());
}

TEST(LinearizabilityCheck, RefusesWhatNoOrderExplains) {
  const History writer{op(Kind::update, 7, 0, 1, 10)};
  EXPECT_FALSE(LinearizabilityCheck({writer, {op(Kind::lookup, 0, -ENOENT, 11, 12)}}).passes()) << "lost";
  EXPECT_FALSE(LinearizabilityCheck({writer, {op(Kind::lookup, 8, 0, 11, 12)}}).passes()) << "invented";
  EXPECT_FALSE(
      LinearizabilityCheck({writer, {op(Kind::lookup, 7, 0, 2, 3), op(Kind::lookup, 0, -ENOENT, 4, 5)}})
          .passes())
      << "seen, then not seen";
  const History twice{op(Kind::update, 1, 0, 1, 2), op(Kind::update, 2, 0, 3, 4)};
  EXPECT_FALSE(
      LinearizabilityCheck({twice, {op(Kind::lookup, 2, 0, 3, 5), op(Kind::lookup, 1, 0, 6, 7)}}).passes())
      << "back in time";
  EXPECT_FALSE(
      LinearizabilityCheck({{op(Kind::remove, 0, 0, 1, 9)}, {op(Kind::remove, 0, 0, 2, 8)}, {}}).passes());
}

}  // namespace
}  // namespace skep::maps
