// The types with rules of their own, against what Linux 6.18 said (tests/golden/map_semantics*.txt) and
// against plain models.
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <map>
#include <random>
#include <set>

#include "maps/devmap.hpp"
#include "maps/map_fixture.hpp"
#include "maps/perf_events.hpp"
#include "maps/ringbuf.hpp"
#include "maps/slots.hpp"

namespace skep::maps {
namespace {

class MapTypes : public MapTest {
 protected:
  static int put(Map& map, const auto& key, const auto& value, u64 flags = 0) {
    return error_of(map.user_update(bytes_of(key), bytes_of(value), flags));
  }
  static int drop(Map& map, const auto& key) { return error_of(map.user_delete(bytes_of(key))); }
  template <class V = u32>
  static std::optional<V> get(Map& map, const auto& key) {
    V value{};
    if (!map.user_lookup(bytes_of(key), mut_bytes_of(value), 0)) return std::nullopt;
    return value;
  }
  template <class K>
  static std::vector<K> keys(Map& map) {
    std::vector<K> all;
    K at{};
    for (auto more = map.user_next_key({}, mut_bytes_of(at)); more && all.size() < 100000;) {
      all.push_back(at);
      const K from = at;
      more = map.user_next_key(bytes_of(from), mut_bytes_of(at));
    }
    return all;
  }
};

struct Route {
  u32 prefix = 0;
  std::array<u8, 4> address{};
  bool operator==(const Route&) const = default;
  auto operator<=>(const Route&) const = default;
};

TEST_F(MapTypes, TheLongestPrefixWins) {
  const auto map = make(spec(MapType::lpm_trie, 8, 4, 4, uapi::F_NO_PREALLOC));
  EXPECT_EQ(put(*map, Route{8, {10, 0, 0, 0}}, 1u), 0);
  EXPECT_EQ(put(*map, Route{16, {10, 1, 0, 0}}, 2u), 0);
  EXPECT_EQ(put(*map, Route{24, {10, 1, 2, 0}}, 3u), 0);
  EXPECT_EQ(put(*map, Route{0, {}}, 4u), 0);
  EXPECT_EQ(put(*map, Route{32, {1, 2, 3, 4}}, 5u), ENOSPC);
  EXPECT_EQ(put(*map, Route{33, {1, 2, 3, 4}}, 5u), EINVAL);
  EXPECT_EQ(get(*map, Route{32, {10, 1, 2, 3}}), 3u);
  EXPECT_EQ(get(*map, Route{32, {10, 1, 3, 1}}), 2u);
  EXPECT_EQ(get(*map, Route{32, {10, 9, 9, 9}}), 1u);
  EXPECT_EQ(get(*map, Route{32, {11, 1, 1, 1}}), 4u);
  EXPECT_EQ(get(*map, Route{16, {10, 1, 2, 3}}), 2u) << "the key's own length limits the match";
  EXPECT_EQ(get(*map, Route{33, {10, 1, 2, 3}}), std::nullopt);
  EXPECT_EQ(put(*map, Route{8, {10, 0, 0, 0}}, 9u, uapi::NOEXIST), EEXIST);
  EXPECT_EQ(put(*map, Route{9, {10, 0, 0, 0}}, 9u, uapi::EXIST), ENOENT);
  EXPECT_EQ(put(*map, Route{8, {10, 5, 5, 5}}, 77u), 0) << "bits behind the prefix do not count";
  EXPECT_EQ(get(*map, Route{32, {10, 9, 9, 9}}), 77u);
  EXPECT_EQ(map->memlock(), 4 * 32u);
  EXPECT_EQ(drop(*map, Route{9, {10, 0, 0, 0}}), ENOENT);
  EXPECT_EQ(drop(*map, Route{8, {10, 0, 0, 0}}), 0);
  EXPECT_EQ(keys<Route>(*map),
            (std::vector<Route>{{24, {10, 1, 2, 0}}, {16, {10, 1, 0, 0}}, {0, {0, 0, 0, 0}}}));
}

TEST_F(MapTypes, TriesBehaveAsAListOfPrefixes) {
  const auto map = make(spec(MapType::lpm_trie, 8, 4, 300, uapi::F_NO_PREALLOC));
  std::mt19937 random(7);                    // NOLINT: the same each time
  std::map<std::pair<u32, u32>, u32> model;  // {length, masked address}
  const auto masked = [](u32 length, u32 address) {
    return length == 0 ? 0 : address & ~u32{0} << (32 - length);
  };
  const auto route = [](u32 length, u32 address) {
    return Route{length,
                 {u8(address >> 24), u8(address >> 16 & 255), u8(address >> 8 & 255), u8(address & 255)}};
  };
  for (u32 step = 0; step < 20000; ++step) {
    const u32 length = random() % 33;
    const u32 address = random() & 0xc0c000ff;  // few bits, so that prefixes meet
    switch (random() % 4) {
      case 0: {
        const bool there = model.contains({length, masked(length, address)});
        const int expected = !there && model.size() >= 300 ? ENOSPC : 0;
        ASSERT_EQ(put(*map, route(length, address), step), expected);
        if (expected == 0) model[{length, masked(length, address)}] = step;
        break;
      }
      case 1:
        ASSERT_EQ(drop(*map, route(length, address)),
                  model.erase({length, masked(length, address)}) != 0 ? 0 : ENOENT);
        break;
      default: {
        std::optional<u32> expected;
        for (u32 l = 0; l <= length; ++l)
          if (const auto it = model.find({l, masked(l, address)}); it != model.end()) expected = it->second;
        ASSERT_EQ(get(*map, route(length, address)), expected) << "step " << step;
      }
    }
  }
  const auto all = keys<Route>(*map);
  EXPECT_EQ(all.size(), model.size());
  EXPECT_EQ(std::set<Route>(all.begin(), all.end()).size(), all.size());
}

TEST_F(MapTypes, SmallLruMapsKeepTheNewest) {
  const auto map = make(spec(MapType::lru_hash, 4, 8, 4));
  EXPECT_EQ(map->memlock(), 896 + 4 * 16 + 4 * 64u);
  for (u32 k = 0; k < 200; ++k) ASSERT_EQ(put(*map, k, u64{k}), 0);
  std::vector<u32> left = keys<u32>(*map);
  std::ranges::sort(left);
  EXPECT_EQ(left, (std::vector<u32>{196, 197, 198, 199}));
}

class LruModel : public MapTypes, public ::testing::WithParamInterface<std::pair<MapType, u32>> {};

/// Which one goes is the list's business; that it is full but never refuses, and that what is there is right,
/// is everybody's.
TEST_P(LruModel, NeverRefusesAndNeverHoldsTooMany) {
  constexpr u32 entries = 1000;
  const auto map = make(spec(GetParam().first, 4, 8, entries, GetParam().second));
  std::mt19937 random(11);  // NOLINT: the same each time
  std::map<u32, u64> written;
  std::vector<u64> value(map->user_value_size() / 8);
  const rcu::Reader reader;
  for (u32 step = 0; step < 30000; ++step) {
    const u32 key = random() % 3000;
    switch (random() % 5) {
      case 0:
        map->remove(bytes_of(key).data());
        written.erase(key);
        break;
      case 1:
        if (map->lookup(bytes_of(key).data(), 0) != nullptr) {
          ASSERT_TRUE(written.contains(key));
        }
        break;
      default:
        std::ranges::fill(value, step);
        ASSERT_EQ(error_of(map->user_update(bytes_of(key), std::as_bytes(std::span(value)), 0)), 0);
        written[key] = step;
        ASSERT_NE(map->lookup(bytes_of(key).data(), 0), nullptr) << "the newest is there";
    }
  }
  const auto left = keys<u32>(*map);
  EXPECT_LE(left.size(), entries);
  // Without common lists a CPU has only its share.
  EXPECT_GE(left.size(), GetParam().second == 0 ? entries * 8 / 10 : entries / test_cpus - 100);
  for (const u32 key : left) {
    ASSERT_TRUE(map->user_lookup(bytes_of(key), std::as_writable_bytes(std::span(value)), 0).has_value());
    EXPECT_EQ(value.front(), written.at(key));
    EXPECT_EQ(value.back(), written.at(key));
  }
}
INSTANTIATE_TEST_SUITE_P(Types, LruModel,
                         ::testing::Values(std::pair{MapType::lru_hash, 0u},
                                           std::pair{MapType::lru_percpu_hash, 0u},
                                           std::pair{MapType::lru_hash, uapi::F_NO_COMMON_LRU}));

TEST_F(MapTypes, WhatIsUsedStaysLonger) {
  const auto map = make(spec(MapType::lru_hash, 4, 8, 512));
  const rcu::Reader reader;
  for (u32 k = 0; k < 512; ++k) ASSERT_EQ(put(*map, k, u64{k}), 0);
  for (u32 k = 512; k < 5000; ++k) {
    for (u32 hot = 0; hot < 16; ++hot) map->lookup(bytes_of(hot).data(), 0);
    ASSERT_EQ(put(*map, k, u64{k}), 0);
  }
  u32 alive = 0;
  for (u32 hot = 0; hot < 16; ++hot) alive += map->lookup(bytes_of(hot).data(), 0) != nullptr ? 1u : 0u;
  EXPECT_EQ(alive, 16u);
}

TEST_F(MapTypes, MapsOfMapsTakeWhatEqualsTheirTemplate) {
  objects_.maps = {{10, make(spec(MapType::array, 4, 8, 2))},     {11, make(spec(MapType::array, 4, 8, 2))},
                   {12, make(spec(MapType::array, 4, 16, 2))},    {13, make(spec(MapType::array, 4, 8, 3))},
                   {14, make(spec(MapType::hash, 4, 8, 2))},      {15, make(spec(MapType::hash, 4, 8, 99))},
                   {16, make(spec(MapType::prog_array, 4, 4, 2))}};
  for (auto& [fd, map] : objects_.maps) map->mutable_facts().id = static_cast<u32>(fd) + 1000;
  for (const MapType type : {MapType::array_of_maps, MapType::hash_of_maps}) {
    MapSpec of = spec(type, 4, 4, 4);
    EXPECT_EQ(error_of(create(of, environment())), EBADF);
    of.inner_map_fd = 16;
    EXPECT_EQ(error_of(create(of, environment())), kENOTSUPP);
    of.inner_map_fd = 10;
    const auto map = make(of);
    ASSERT_NE(map->facts().inner, nullptr);
    EXPECT_EQ(map->facts().inner->type, MapType::array);
    const u32 key = 1;
    EXPECT_EQ(put(*map, key, 11), 0);
    EXPECT_EQ(get(*map, key), 1011u);
    EXPECT_EQ(put(*map, key, 12), EINVAL) << "another value size";
    EXPECT_EQ(put(*map, key, 13), EINVAL) << "another number of entries";
    EXPECT_EQ(put(*map, key, 14), EINVAL);
    EXPECT_EQ(put(*map, key, 99), EBADF);
    const rcu::Reader reader;
    EXPECT_EQ(reinterpret_cast<Map*>(map->lookup(bytes_of(key).data(), 0)), objects_.maps[11].get());
    const std::weak_ptr<Map> inner = objects_.maps[11];
    objects_.maps.erase(11);
    EXPECT_FALSE(inner.expired()) << "the outer map keeps it";
    EXPECT_EQ(drop(*map, key), 0);
    EXPECT_EQ(drop(*map, key), ENOENT);
    EXPECT_EQ(get(*map, key), std::nullopt);
    of.inner_map_fd = 77;
    objects_.maps[77] = map;
    EXPECT_EQ(error_of(create(of, environment())), EINVAL) << "no maps of maps of maps";
    objects_.maps.erase(77);
    objects_.maps[11] = make(spec(MapType::array, 4, 8, 2));
    objects_.maps[11]->mutable_facts().id = 1011;
  }
  MapSpec of = spec(MapType::array_of_maps, 4, 4, 1);
  of.inner_map_fd = 14;
  EXPECT_EQ(put(*make(of), 0u, 15), 0) << "hashes may have another size";
}

TEST_F(MapTypes, ProgArraysTakeProgramsLikeTheFirst) {
  const auto program = [&](int fd, ProgType type, u32 id) {
    auto ref = std::make_shared<ProgramRef>();
    ref->type = type;
    ref->id = id;
    ref->jited = true;
    ref->program = std::make_shared<int>(fd);
    objects_.programs[fd] = ref;
  };
  program(20, ProgType::xdp, 5);
  program(21, ProgType::xdp, 6);
  program(22, ProgType::sched_cls, 7);
  const auto map = make(spec(MapType::prog_array, 4, 4, 4));
  auto& array = static_cast<ProgArray&>(*map);
  EXPECT_FALSE(array.owner().has_value());
  EXPECT_EQ(put(*map, 1u, 20), 0);
  EXPECT_EQ(array.owner()->type, ProgType::xdp);
  EXPECT_EQ(get(*map, 1u), 5u);
  EXPECT_EQ(put(*map, 1u, 22), EINVAL);
  EXPECT_EQ(put(*map, 1u, 99), EBADF);
  EXPECT_EQ(put(*map, 4u, 21), E2BIG);
  EXPECT_EQ(put(*map, 2u, 21, uapi::NOEXIST), EINVAL);
  EXPECT_EQ(get(*map, 2u), std::nullopt);
  const rcu::Reader reader;
  const u64 here = map->facts().map_address;
  const auto* slots = reinterpret_cast<ProgramRef* const*>(here + prog_array_slots_offset);
  EXPECT_EQ(slots[1], objects_.programs[20].get()) << "where tail calls read it";
  EXPECT_EQ(*reinterpret_cast<const u64*>(here + prog_array_count_offset), 4u);
  const std::weak_ptr<const ProgramRef> held = objects_.programs[20];
  objects_.programs.erase(20);
  EXPECT_FALSE(held.expired());
  {
    const MapRef user = map->user_reference();
  }
  EXPECT_EQ(get(*map, 1u), std::nullopt) << "cleared when user space has no reference any more";
  EXPECT_EQ(drop(*map, 1u), ENOENT);
}

TEST_F(MapTypes, RingRecordsHaveTheKernelsBytes) {
  const auto map = make(spec(MapType::ringbuf, 0, 0, 4096));
  auto& ring = static_cast<RingbufMap&>(*map);
  std::byte* first = ring.reserve(5);
  ASSERT_NE(first, nullptr);
  *first = std::byte{0x41};
  RingbufMap::commit(first, 0, false);
  std::byte* second = ring.reserve(8);
  *second = std::byte{7};
  RingbufMap::commit(second, 0, true);
  EXPECT_EQ(ring.output(bytes("BBB").data(), 3, 0), 0);
  EXPECT_EQ(ring.output(bytes("BBB").data(), 3, 4), -EINVAL);
  EXPECT_EQ(ring.query(0), 48u);
  EXPECT_EQ(ring.query(1), 4096u);
  EXPECT_EQ(ring.query(2), 0u);
  EXPECT_EQ(ring.query(3), 48u);
  EXPECT_EQ(ring.query(4), 0u);

  auto memory = map->memory();
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->size, 4096 + 2 * 4096u);
  auto mapped = Mapping::map(memory->size, PROT_READ, MAP_SHARED, memory->fd.get(), 0, "data");
  ASSERT_TRUE(mapped.has_value());
  EXPECT_EQ(load<u64>(mapped->data()), 48u) << "the producer's position";
  const std::vector<u32> expected = {5, 3, 0x41, 0, 0x40000008, 3, 7, 0, 3, 3, 0x424242, 0};
  std::vector<u32> got(expected.size());
  std::memcpy(got.data(), mapped->data() + 4096, got.size() * 4);
  EXPECT_EQ(got, expected);
  EXPECT_FALSE(
      Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0, "data").has_value())
      << "clients write the consumer's position only";
  auto consumer =
      Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->consumer.get(), 0, "consumer");
  ASSERT_TRUE(consumer.has_value());
  pollfd waiting{memory->wake.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 1) << "the first record woke the reader";
  store(consumer->data(), u64{48});
  EXPECT_EQ(ring.query(0), 0u);

  EXPECT_EQ(ring.reserve(4096), nullptr);
  EXPECT_NE(ring.reserve(4000), nullptr);
  EXPECT_EQ(ring.reserve(4000), nullptr) << "full";
  EXPECT_EQ(ring.output(bytes("x").data(), 100, 0), -EAGAIN);
  EXPECT_EQ(error_of(map->user_lookup({}, {}, 0)), kENOTSUPP);
}

/// Records run past the end of the data into the room behind it; a reader that goes by the headers sees all.
TEST_F(MapTypes, RingsWrapWithoutLoss) {
  const auto map = make(spec(MapType::ringbuf, 0, 0, 4096));
  auto& ring = static_cast<RingbufMap&>(*map);
  auto memory = map->memory();
  auto data = Mapping::map(memory->size, PROT_READ, MAP_SHARED, memory->fd.get(), 0, "data");
  auto consumer =
      Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->consumer.get(), 0, "consumer");
  u64 at = 0;
  for (u32 i = 0; i < 5000; ++i) {
    std::vector<std::byte> record(1 + i % 900, std::byte(i));
    ASSERT_EQ(ring.output(record.data(), record.size(), 0), 0);
    const std::byte* header = data->data() + 4096 + (at & 4095);
    ASSERT_EQ(load<u32>(header), record.size());
    ASSERT_EQ(std::memcmp(header + 8, record.data(), record.size()), 0);
    at += (record.size() + 8 + 7) & ~u64{7};
    store(consumer->data(), at);
  }
}

TEST_F(MapTypes, UserRingsAreDrainedAndDistrusted) {
  const auto map = make(spec(MapType::user_ringbuf, 0, 0, 4096));
  auto& ring = static_cast<RingbufMap&>(*map);
  auto memory = map->memory();
  auto data = Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0, "data");
  ASSERT_TRUE(data.has_value());
  EXPECT_FALSE(Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->consumer.get(), 0, "consumer")
                   .has_value());
  std::vector<std::string> seen;
  const auto visit = [](void* to, std::byte* record, u32 size) {
    static_cast<std::vector<std::string>*>(to)->push_back(text({record, size}));
    return u64{0};
  };
  std::byte* records = data->data() + 4096;
  store(records, u32{3});
  std::memcpy(records + 8, "one", 3);
  store(records + 16, u32{3} | Ring::discarded);
  store(records + 32, u32{4});
  std::memcpy(records + 40, "last", 4);
  store(data->data(), u64{48});
  EXPECT_EQ(ring.drain(visit, &seen, 0), 3);
  EXPECT_EQ(seen, (std::vector<std::string>{"one", "last"}));
  EXPECT_EQ(ring.drain(visit, &seen, 0), 0);
  EXPECT_EQ(ring.drain(visit, &seen, 8), -EINVAL);
  store(data->data(), u64{49});
  EXPECT_EQ(ring.drain(visit, &seen, 0), -EINVAL) << "a position that is none";
  store(data->data(), u64{64});
  store(records + 48, u32{4000});
  EXPECT_EQ(ring.drain(visit, &seen, 0), -EINVAL) << "a record past the position";
  store(data->data(), u64{1} << 40);
  store(records + 48, u32{0x3fffffff});
  EXPECT_EQ(ring.drain(visit, &seen, 0), -E2BIG) << "a record larger than the ring";
  EXPECT_EQ(seen.size(), 2u);
}

TEST_F(MapTypes, AReaderOfEventsThatScribblesHarmsOnlyItself) {
  const auto map = make(spec(MapType::perf_event_array, 4, 4, 2));
  auto& events = static_cast<PerfEventArray&>(*map);
  EXPECT_EQ(events.output(PerfEventArray::current_cpu, 1, bytes("abc"), {}), -ENOENT);
  EXPECT_EQ(events.output(2, 1, bytes("abc"), {}), -E2BIG);
  EXPECT_EQ(map->events({.cpu = 1, .index = 1, .pages = 3}).error().code, EINVAL);
  auto ring = map->events({.cpu = 1, .index = 1, .pages = 1});
  ASSERT_TRUE(ring.has_value());
  const auto memory =
      Mapping::map(ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->memory.get(), 0, "ring");
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(events.output(PerfEventArray::current_cpu, 1, bytes("abc"), bytes("packet")), 0);
  EXPECT_EQ(text({memory->data() + 4096 + 20, 9}), "abcpacket");
  EXPECT_EQ(events.output(1, 0, bytes("abc"), {}), -EOPNOTSUPP);
  const std::string long_text(0x10000, 'x');
  EXPECT_EQ(events.output(1, 1, bytes(long_text), {}), -E2BIG) << "perf's lengths have 16 bits";
  // data_head and data_tail stand at 1024 and 1032.
  for (const u64 tail : {~u64{0}, u64{1} << 40, u64{7}}) {
    store(memory->data() + 1024, ~u64{0});
    store(memory->data() + 1032, tail);
    for (int i = 0; i < 300; ++i) (void)events.output(1, 1, bytes("abc"), bytes("packet"));
  }
  ring->wake.reset();
  store(memory->data() + 1032, u64{0});
  EXPECT_EQ(events.output(1, 1, bytes(std::string(4000, 'x')), {}), -ENOENT) << "the reader has gone";
  EXPECT_EQ(map->user_delete(bytes_of(u32{1})).error().code, ENOENT);
}

TEST_F(MapTypes, RedirectMapsKeepTheirTargets) {
  auto program = std::make_shared<ProgramRef>();
  program->type = ProgType::xdp;
  program->expected_attach_type = static_cast<AttachType>(35);  // BPF_XDP_DEVMAP
  program->id = 31;
  objects_.programs[20] = program;
  struct Value {
    u32 value;
    s32 program;
    bool operator==(const Value&) const = default;
  };
  for (const MapType type : {MapType::devmap, MapType::devmap_hash}) {
    const bool hash = type == MapType::devmap_hash;
    const auto map = make(spec(type, 4, 8, 4));
    auto& redirect = static_cast<RedirectMap&>(*map);
    const u64 empty = map->memlock();
    EXPECT_EQ(put(*map, 1u, Value{1, 0}), 0);
    EXPECT_EQ(map->memlock(), empty + 64);
    EXPECT_EQ(put(*map, 2u, Value{1, 20}), 0);
    EXPECT_EQ(get<Value>(*map, 2u), (Value{1, 31}));
    EXPECT_EQ(put(*map, 3u, Value{1, 77}), EBADF);
    EXPECT_EQ(put(*map, 3u, Value{999999, 0}), EINVAL) << "no such interface";
    EXPECT_EQ(put(*map, 99u, Value{1, 0}), hash ? 0 : E2BIG);
    EXPECT_EQ(put(*map, 1u, Value{1, 0}, uapi::NOEXIST), EEXIST);
    const rcu::Reader reader;
    ASSERT_NE(redirect.target(2), nullptr);
    EXPECT_EQ(redirect.target(2)->program.get(), program.get());
    EXPECT_EQ(redirect.target_from(0)->key, 1u);
    EXPECT_EQ(redirect.target(3), nullptr);
    EXPECT_EQ(drop(*map, 2u), 0);
    EXPECT_EQ(redirect.target(2), nullptr);
    EXPECT_EQ(drop(*map, 3u), hash ? ENOENT : 0);
  }
  const auto cpus = make(spec(MapType::cpumap, 4, 4, 4));
  EXPECT_EQ(put(*cpus, 0u, 128u), 0);
  EXPECT_EQ(put(*cpus, 0u, 16385u), EOVERFLOW);
  EXPECT_EQ(put(*cpus, 3u, 128u), ENODEV) << "not a possible CPU";
  EXPECT_EQ(get(*cpus, 0u), 128u);
  EXPECT_EQ(put(*cpus, 0u, 0u), 0);
  EXPECT_EQ(get(*cpus, 0u), std::nullopt);
}

TEST_F(MapTypes, QueuesAndStacksBehaveAsDeques) {
  std::mt19937 random(3);  // NOLINT: the same each time
  for (const MapType type : {MapType::queue, MapType::stack}) {
    const auto map = make(spec(type, 0, 4, 7));
    std::vector<u32> model;
    for (u32 step = 0; step < 5000; ++step) {
      u32 value = step;
      auto* at = mut_bytes_of(value).data();
      const bool full = model.size() == 7;
      switch (random() % 5) {
        case 0:
        case 1:
          ASSERT_EQ(map->push(at, uapi::ANY), full ? -E2BIG : 0);
          if (!full) model.push_back(step);
          break;
        case 2:
          ASSERT_EQ(map->push(at, uapi::EXIST), 0);
          if (full) model.erase(model.begin());
          model.push_back(step);
          break;
        default: {
          const bool pop = random() % 2 == 0;
          const int result = pop ? map->pop(at) : map->peek(at);
          ASSERT_EQ(result, model.empty() ? -ENOENT : 0);
          if (model.empty()) {
            ASSERT_EQ(value, 0u);
            break;
          }
          const auto it = type == MapType::stack ? std::prev(model.end()) : model.begin();
          ASSERT_EQ(value, *it);
          if (pop) model.erase(it);
        }
      }
    }
  }
}

TEST_F(MapTypes, ForEachVisitsEveryElementUntilToldToStop) {
  for (const MapType type :
       {MapType::hash, MapType::percpu_hash, MapType::lru_hash, MapType::array, MapType::percpu_array}) {
    const auto map = make(spec(type, 4, 8, 8));
    std::vector<std::byte> value(map->user_value_size(), std::byte{5});
    for (u32 k = 0; k < 8; ++k) ASSERT_EQ(error_of(map->user_update(bytes_of(k), value, 0)), 0);
    struct Seen {
      std::set<u32> keys;
      u32 stop_after = 100;
    } seen;
    const auto visit = [](void* to, const std::byte* key, std::byte* at) {
      auto& s = *static_cast<Seen*>(to);
      s.keys.insert(load<u32>(key));
      EXPECT_EQ(*at, std::byte{5});
      return u64{s.keys.size() >= s.stop_after ? 1u : 0u};
    };
    const rcu::Reader reader;
    EXPECT_EQ(map->for_each(visit, &seen, 0), 8) << map_type_name(type);
    EXPECT_EQ(seen.keys.size(), 8u);
    seen = {{}, 3};
    EXPECT_EQ(map->for_each(visit, &seen, 0), 3);
  }
}

}  // namespace
}  // namespace skep::maps
