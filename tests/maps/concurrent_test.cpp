// Several threads on one map: what a reader finds is whole, and stays so until it is quiescent; nothing is
// lost. Run under ThreadSanitizer too (the tsan preset).
#include <sys/mman.h>

#include <thread>

#include "maps/map_fixture.hpp"
#include "maps/ringbuf.hpp"

namespace skep::maps {
namespace {

class Concurrent : public MapTest {
 protected:
  static constexpr u32 threads = 4;
  static void together(const std::function<void(u32)>& body) {
    std::vector<std::thread> all;
    for (u32 i = 0; i < threads; ++i)
      all.emplace_back([&body, i] {
        const rcu::Reader reader;
        body(i);
      });
    for (auto& thread : all) thread.join();
  }
  struct Pair {
    u64 a, b;
  };
};

TEST_F(Concurrent, HashValuesAreNeverTorn) {
  const auto map = make(spec(MapType::hash, 4, 16, 64));
  together([&](u32 thread) {
    for (u64 step = 0; step < 20000; ++step) {
      const u32 key = static_cast<u32>(step * 7 + thread) % 80;
      if (thread % 2 == 0) {
        const Pair pair{step, ~step};
        map->update(bytes_of(key).data(), bytes_of(pair).data(), 0, 0);
        if (step % 5 == 0) map->remove(bytes_of(key).data());
      } else if (const std::byte* found = map->lookup(bytes_of(key).data(), 0); found != nullptr) {
        const auto pair = load<Pair>(found);
        ASSERT_EQ(pair.a, ~pair.b);
      }
      rcu::quiescent();
    }
  });
}

TEST_F(Concurrent, LruTakesInsertionsFromEverywhere) {
  for (const u32 flags : {0u, uapi::F_NO_COMMON_LRU}) {
    const auto map = make(spec(MapType::lru_hash, 4, 8, 256, flags));
    together([&](u32 thread) {
      for (u32 step = 0; step < 20000; ++step) {
        const u32 key = (step * 31 + thread * 7) % 1024;
        const u64 value = key;
        ASSERT_EQ(map->update(bytes_of(key).data(), bytes_of(value).data(), 0, thread % test_cpus), 0);
        if (step % 3 == 0) map->remove(bytes_of(key).data());
        map->lookup(bytes_of(key).data(), 0);
        rcu::quiescent();
      }
    });
    u32 count = 0, key = 0;
    for (auto more = map->user_next_key({}, mut_bytes_of(key)); more && count < 10000; ++count) {
      u64 value = 0;
      ASSERT_TRUE(map->user_lookup(bytes_of(key), mut_bytes_of(value), 0).has_value());
      EXPECT_EQ(value, key);
      const u32 from = key;
      more = map->user_next_key(bytes_of(from), mut_bytes_of(key));
    }
    EXPECT_LE(count, 256u);
    EXPECT_GT(count, 0u);
  }
}

TEST_F(Concurrent, TriesAreReadWhileTheyChange) {
  struct Route {
    u32 prefix, address;
  };
  const auto map = make(spec(MapType::lpm_trie, 8, 8, 1024, uapi::F_NO_PREALLOC));
  const Route all{0, 0};
  const u64 root = 1;
  ASSERT_TRUE(map->user_update(bytes_of(all), bytes_of(root), 0).has_value());
  together([&](u32 thread) {
    for (u32 step = 0; step < 20000; ++step) {
      const Route route{thread == 0 ? step % 32 + 1 : 32, step * 2654435761u};
      const u64 value = 1;
      if (thread == 0) {
        map->update(bytes_of(route).data(), bytes_of(value).data(), 0, 0);
        if (step % 2 == 0) map->remove(bytes_of(route).data());
      } else {
        const std::byte* found = map->lookup(bytes_of(route).data(), 0);
        ASSERT_NE(found, nullptr) << "there is always the default route";
        ASSERT_EQ(load<u64>(found), 1u);
      }
      rcu::quiescent();
    }
  });
}

TEST_F(Concurrent, RingsLoseNoRecord) {
#if defined(SKEP_THREAD_SANITIZER)
  GTEST_SKIP()
      << "the reader's mapping is another address of the same memory, which ThreadSanitizer cannot see";
#endif
  const auto map = make(spec(MapType::ringbuf, 0, 0, 65536));
  auto& ring = static_cast<RingbufMap&>(*map);
  auto memory = map->memory();
  auto consumer =
      *Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->consumer.get(), 0, "consumer");
  auto data = *Mapping::map(memory->size, PROT_READ, MAP_SHARED, memory->fd.get(), 0, "data");
  constexpr u32 each = 5000;
  std::array<u32, threads> next{};
  std::thread reader([&] {
    u64 at = 0;
    for (u32 got = 0; got < threads * each;) {
      const u64 produced =
          std::atomic_ref<u64>(*reinterpret_cast<u64*>(data.data())).load(std::memory_order_acquire);
      if (at == produced) continue;
      auto* header = reinterpret_cast<u32*>(data.data() + 4096 + (at & 65535));
      const u32 length = std::atomic_ref<u32>(*header).load(std::memory_order_acquire);
      if ((length & Ring::busy) != 0) continue;
      const u32 thread = header[2], number = header[3];
      ASSERT_LT(thread, threads);
      ASSERT_EQ(number, next[thread]++);
      at += 16;
      ++got;
      std::atomic_ref<u64>(*reinterpret_cast<u64*>(consumer.data())).store(at, std::memory_order_release);
    }
  });
  together([&](u32 thread) {
    for (u32 i = 0; i < each;) {
      std::byte* record = ring.reserve(8);
      if (record == nullptr) {
        std::this_thread::yield();
        continue;
      }
      store(record, thread);
      store(record + 4, i++);
      RingbufMap::commit(record, 0, false);
    }
  });
  reader.join();
  EXPECT_EQ(ring.query(0), 0u);
}

}  // namespace
}  // namespace skep::maps
