// The contract's part about maps. See contract.hpp.
#include "kernel_contract/contract.hpp"

namespace skep::contract {
namespace {

TEST_P(KernelContract, MapsAreDescribedAsTheyWereMade) {
  const Handle made = map(map_spec(MapType::hash, 4, 12, 16, 0, "contract_map"));
  const auto info = kernel().map_info(made.fd());
  ASSERT_TRUE(info.has_value()) << info.error().what;
  EXPECT_EQ(info->type, MapType::hash);
  EXPECT_EQ(info->key_size, 4u);
  EXPECT_EQ(info->value_size, 12u);
  EXPECT_EQ(info->max_entries, 16u);
  EXPECT_EQ(info->flags, 0u);
  EXPECT_EQ(info->name, "contract_map");
  EXPECT_EQ(info->btf_id, 0u);
  EXPECT_FALSE(info->frozen);
  EXPECT_GT(info->id, 0u);
  EXPECT_EQ(made.kind(), ObjectKind::map);
}

TEST_P(KernelContract, MapMemlockIsTheKernelsFormula) {
  const u64 cpus = *kernel().possible_cpus();
  const auto memlock = [&](const MapSpec& spec) { return kernel().map_info(map(spec).fd())->bytes_memlock; };
  EXPECT_EQ(memlock(map_spec(MapType::array, 4, 4, 1)), 320u);
  EXPECT_EQ(memlock(map_spec(MapType::array, 4, 8, 1000)), 8312u);
  EXPECT_EQ(memlock(map_spec(MapType::array, 4, 4, 1, uapi::F_MMAPABLE)), 8192u);
  EXPECT_EQ(memlock(map_spec(MapType::percpu_array, 4, 8, 10)), 312 + 80 + cpus * 80);
  EXPECT_EQ(memlock(map_spec(MapType::hash, 4, 8, 16)), 896 + 256 + (16 + cpus) * 64 + 8 * cpus);
  EXPECT_EQ(memlock(map_spec(MapType::hash, 4, 8, 1024, uapi::F_NO_PREALLOC)), 17280u);
}

TEST_P(KernelContract, HashElementsComeAndGo) {
  const Handle made = map(map_spec(MapType::hash, 4, 8, 2));
  const u32 a = 1, b = 2, c = 3;
  const u64 first = 11, second = 22;
  u64 seen = 0;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(a), mut_bytes_of(seen))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(a), bytes_of(first), uapi::NOEXIST)), 0);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(a), bytes_of(second), uapi::NOEXIST)),
            EEXIST);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(b), bytes_of(second), uapi::EXIST)),
            ENOENT);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(a), bytes_of(second), uapi::EXIST)), 0);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(b), bytes_of(second), uapi::ANY)), 0);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(c), bytes_of(second), uapi::ANY)), E2BIG);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(a), bytes_of(second), 3)), EINVAL);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(a), mut_bytes_of(seen))), 0);
  EXPECT_EQ(seen, second);
  EXPECT_EQ(error_of(kernel().map_lookup_and_delete_elem(made.fd(), bytes_of(a), mut_bytes_of(seen))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(a))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(b))), 0);
  u32 next = 0;
  EXPECT_EQ(error_of(kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(next))), ENOENT);
}

TEST_P(KernelContract, ArrayElementsAreAlwaysThere) {
  const Handle made = map(map_spec(MapType::array, 4, 8, 3));
  const u32 last = 2, beyond = 3;
  u64 value = 5, seen = 99;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(last), mut_bytes_of(seen))), 0);
  EXPECT_EQ(seen, 0u);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(beyond), mut_bytes_of(seen))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(beyond), bytes_of(value), 0)), E2BIG);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(last), bytes_of(value), uapi::NOEXIST)),
            EEXIST);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(last))), EINVAL);
  u32 key = 0;
  std::vector<u32> keys;
  for (auto more = kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(key)); more;) {
    keys.push_back(key);
    const u32 from = key;
    more = kernel().map_get_next_key(made.fd(), bytes_of(from), mut_bytes_of(key));
  }
  EXPECT_EQ(keys, (std::vector<u32>{0, 1, 2}));
}

TEST_P(KernelContract, PercpuValuesHaveOneForEachPossibleCpu) {
  const u32 cpus = *kernel().possible_cpus();
  for (const MapType type : {MapType::percpu_array, MapType::percpu_hash}) {
    const Handle made = map(map_spec(type, 4, 5, 2));
    const u32 key = 1;
    std::vector<std::byte> value(8 * std::size_t{cpus}), seen(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) value[i] = i % 8 < 5 ? std::byte(i) : std::byte{0};
    EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(key), value, 0)), 0);
    EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), seen)), 0);
    EXPECT_EQ(seen, value);
  }
}

TEST_P(KernelContract, FrozenMapsAreReadOnlyToCallers) {
  const Handle made = map(map_spec(MapType::array, 4, 8, 1, uapi::F_RDONLY_PROG));
  const u32 key = 0;
  u64 value = 7, seen = 0;
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), 0)), 0);
  EXPECT_EQ(error_of(kernel().map_freeze(made.fd())), 0);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(key), bytes_of(value), 0)), EPERM);
  EXPECT_EQ(error_of(kernel().map_freeze(made.fd())), EPERM);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(key), mut_bytes_of(seen))), 0);
  EXPECT_EQ(seen, 7u);
  EXPECT_TRUE(kernel().map_info(made.fd())->frozen);
}

TEST_P(KernelContract, BatchesMoveManyElements) {
  const Handle made = map(map_spec(MapType::hash, 4, 8, 8));
  const std::vector<u32> keys = {1, 2, 3, 4, 5};
  const std::vector<u64> values = {10, 20, 30, 40, 50};
  u32 moved = 0;
  const auto put = kernel().map_update_batch(made.fd(), std::as_bytes(std::span(keys)),
                                             std::as_bytes(std::span(values)), 5, 0, moved);
  ASSERT_TRUE(put.has_value()) << put.error().what;
  EXPECT_EQ(moved, 5u);
  std::vector<u32> got_keys(8);
  std::vector<u64> got(8);
  u32 position = 0;
  const auto done = kernel().map_lookup_batch(made.fd(), {}, mut_bytes_of(position),
                                              std::as_writable_bytes(std::span(got_keys)),
                                              std::as_writable_bytes(std::span(got)), 8, 0, false);
  ASSERT_TRUE(done.has_value()) << done.error().what;
  EXPECT_EQ(done->count, 5u);
  EXPECT_TRUE(done->end);
  for (u32 i = 0; i < 5; ++i) EXPECT_EQ(got[i], got_keys[i] * 10);
  EXPECT_EQ(error_of(kernel().map_delete_batch(made.fd(), std::as_bytes(std::span(keys)), 5, moved)), 0);
  EXPECT_EQ(moved, 5u);
  EXPECT_EQ(error_of(kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(position))), ENOENT);
}

TEST_P(KernelContract, BatchesThatFailHalfWaySayHowFarTheyCame) {
  const Handle made = map(map_spec(MapType::hash, 4, 8, 3));
  const std::vector<u32> keys = {1, 2, 3, 4, 5};
  const std::vector<u64> values(5);
  u32 done = 99;
  EXPECT_EQ(error_of(kernel().map_update_batch(made.fd(), std::as_bytes(std::span(keys)),
                                               std::as_bytes(std::span(values)), 5, 0, done)),
            E2BIG);
  EXPECT_EQ(done, 3u);
  EXPECT_EQ(error_of(kernel().map_delete_batch(made.fd(), std::as_bytes(std::span(keys)), 5, done)), ENOENT);
  EXPECT_EQ(done, 3u);
}

TEST_P(KernelContract, PrefixesInTriesAreFoundAndListed) {
  struct Route {
    u32 prefix;
    std::array<u8, 4> address;
    bool operator==(const Route&) const = default;
  };
  const Handle made = map(map_spec(MapType::lpm_trie, 8, 4, 3, uapi::F_NO_PREALLOC));
  const std::vector<Route> routes = {{8, {10, 0, 0, 0}}, {24, {10, 1, 2, 0}}, {16, {10, 1, 0, 0}}};
  for (u32 i = 0; i < 3; ++i)
    EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(routes[i]), bytes_of(i), 0)), 0);
  const Route more{32, {1, 2, 3, 4}}, inside{32, {10, 1, 2, 9}}, outside{32, {11, 0, 0, 1}}, wrong{33, {}};
  u32 value = 99;
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(more), bytes_of(value), 0)), ENOSPC);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), bytes_of(wrong), bytes_of(value), 0)), EINVAL);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(inside), mut_bytes_of(value))), 0);
  EXPECT_EQ(value, 1u);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), bytes_of(outside), mut_bytes_of(value))), ENOENT);
  std::vector<Route> listed;
  Route at{};
  for (auto next = kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(at)); next && listed.size() < 9;) {
    listed.push_back(at);
    const Route from = at;
    next = kernel().map_get_next_key(made.fd(), bytes_of(from), mut_bytes_of(at));
  }
  EXPECT_EQ(listed, (std::vector<Route>{routes[1], routes[2], routes[0]}));
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(routes[1]))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), bytes_of(routes[1]))), ENOENT);
}

TEST_P(KernelContract, LruMapsMakeRoom) {
  for (const MapType type : {MapType::lru_hash, MapType::lru_percpu_hash}) {
    const Handle made = map(map_spec(type, 4, 8, 4));
    const bool percpu = type == MapType::lru_percpu_hash;
    std::vector<u64> value(percpu ? *kernel().possible_cpus() : 1);
    for (u32 key = 0; key < 100; ++key)
      ASSERT_EQ(
          error_of(kernel().map_update_elem(made.fd(), bytes_of(key), std::as_bytes(std::span(value)), 0)),
          0);
    const u32 newest = 99, oldest = 0;
    const auto look = [&](const u32& key) {
      return error_of(
          kernel().map_lookup_elem(made.fd(), bytes_of(key), std::as_writable_bytes(std::span(value))));
    };
    EXPECT_EQ(look(newest), 0);
    EXPECT_EQ(look(oldest), ENOENT);
  }
}

TEST_P(KernelContract, MapsOfMapsGiveIdsAndTakeWhatEqualsTheTemplate) {
  const Handle inner = map(map_spec(MapType::array, 4, 8, 2));
  const Handle other = map(map_spec(MapType::array, 4, 8, 2));
  const Handle wider = map(map_spec(MapType::array, 4, 16, 2));
  for (const MapType type : {MapType::array_of_maps, MapType::hash_of_maps}) {
    MapSpec spec = map_spec(type, 4, 4, 2);
    spec.inner_map_fd = inner.fd();
    const Handle outer = map(spec);
    const u32 key = 1;
    const auto put = [&](int fd, u64 flags = 0) {
      return error_of(kernel().map_update_elem(outer.fd(), bytes_of(key), bytes_of(fd), flags));
    };
    u32 id = 0;
    EXPECT_EQ(error_of(kernel().map_lookup_elem(outer.fd(), bytes_of(key), mut_bytes_of(id))), ENOENT);
    EXPECT_EQ(put(other.fd()), 0);
    EXPECT_EQ(error_of(kernel().map_lookup_elem(outer.fd(), bytes_of(key), mut_bytes_of(id))), 0);
    EXPECT_EQ(id, kernel().map_info(other.fd())->id);
    EXPECT_EQ(put(wider.fd()), EINVAL);
    EXPECT_EQ(put(9999), EBADF);
    MapSpec nested = map_spec(type, 4, 4, 2);
    nested.inner_map_fd = outer.fd();
    EXPECT_EQ(error_of(kernel().map_create(nested)), EINVAL);
    EXPECT_EQ(error_of(kernel().map_delete_elem(outer.fd(), bytes_of(key))), 0);
    EXPECT_EQ(error_of(kernel().map_delete_elem(outer.fd(), bytes_of(key))), ENOENT);
  }
}

TEST_P(KernelContract, ProgArraysLeadTailCalls) {
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 2));
  const Handle target = load(xdp(code::program(code::mov(0, 3), code::exit())));
  ProgramSpec other = xdp(code::program(code::mov(0, 0), code::exit()));
  other.type = ProgType::socket_filter;
  const Handle filter = load(other);
  // R2 = the array, R3 = 1: bpf_tail_call(ctx, array, 1); 7 if it falls through.
  const Handle caller = load(xdp(code::program(code::map_fd(2, array.fd()), code::mov(3, 1), code::call(12),
                                               code::mov(0, 7), code::exit())));
  const u32 key = 1;
  const int target_fd = target.fd(), filter_fd = filter.fd();
  const auto retval = [&] {
    const auto ran = run(caller);
    EXPECT_TRUE(ran.has_value()) << (ran ? "" : ran.error().what);
    return ran ? ran->retval : 99;
  };
  EXPECT_EQ(retval(), 7u);
  EXPECT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(key), bytes_of(target_fd), 0)), 0);
  EXPECT_EQ(retval(), 3u);
  u32 id = 0;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(id))), 0);
  EXPECT_EQ(id, kernel().prog_info(target.fd())->id);
  EXPECT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(key), bytes_of(filter_fd), 0)), EINVAL);
  EXPECT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(key), bytes_of(target_fd), uapi::NOEXIST)),
            EINVAL);
  EXPECT_EQ(error_of(kernel().map_delete_elem(array.fd(), bytes_of(key))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(array.fd(), bytes_of(key))), ENOENT);
  EXPECT_EQ(retval(), 7u);
}

TEST_P(KernelContract, WrongMapSpecsAreRefused) {
  EXPECT_EQ(error_of(kernel().map_create(map_spec(MapType::array, 8, 8, 1))), EINVAL);
  EXPECT_EQ(error_of(kernel().map_create(map_spec(MapType::array, 4, 8, 0))), EINVAL);
  EXPECT_EQ(error_of(kernel().map_create(map_spec(MapType::hash, 4, 0, 1))), EINVAL);
  EXPECT_EQ(error_of(kernel().map_create(map_spec(MapType::unspec, 4, 4, 1))), EINVAL);
  EXPECT_EQ(error_of(kernel().map_create(map_spec(static_cast<MapType>(99), 4, 4, 1))), EINVAL);
  EXPECT_EQ(error_of(kernel().map_create(map_spec(MapType::array, 4, 4, 1, 0, "a b"))), EINVAL);
}

TEST_P(KernelContract, MmapableArraysAreMemoryThatCallersShare) {
  const Handle made = map(map_spec(MapType::array, 4, 8, 2, uapi::F_MMAPABLE));
  const auto memory = kernel().map_memory(made.fd());
  ASSERT_TRUE(memory.has_value()) << memory.error().what;
  EXPECT_EQ(memory->size, 4096u);
  EXPECT_EQ(memory->stride, 8u);
  EXPECT_EQ(error_of(kernel().map_memory(map(map_spec(MapType::array, 4, 8, 2)).fd())), EINVAL);
}

TEST_P(KernelContract, MapsOfEveryTypeWithoutBtfAreMade) {
  const Handle inner = map(map_spec(MapType::array, 4, 8, 1));
  struct Made {
    MapType type;
    u32 key, value, entries, flags;
    u32 added_flags = 0;  ///< by the kernel
  };
  const std::vector<Made> all = {{MapType::prog_array, 4, 4, 4, 0},
                                 {MapType::perf_event_array, 4, 4, 2, 0},
                                 {MapType::stack_trace, 4, 64, 8, 0},
                                 {MapType::cgroup_array, 4, 4, 4, 0},
                                 {MapType::lru_hash, 4, 8, 16, 0},
                                 {MapType::lru_percpu_hash, 4, 8, 16, 0},
                                 {MapType::lpm_trie, 8, 8, 8, uapi::F_NO_PREALLOC},
                                 {MapType::array_of_maps, 4, 4, 4, 0},
                                 {MapType::hash_of_maps, 4, 4, 4, 0},
                                 {MapType::devmap, 4, 4, 4, 0, uapi::F_RDONLY_PROG},
                                 {MapType::sockmap, 4, 4, 4, 0},
                                 {MapType::cpumap, 4, 4, 2, 0},
                                 {MapType::xskmap, 4, 4, 4, 0},
                                 {MapType::sockhash, 4, 4, 4, 0},
                                 {MapType::cgroup_storage, 16, 8, 0, 0},
                                 {MapType::reuseport_sockarray, 4, 4, 4, 0},
                                 {MapType::percpu_cgroup_storage, 16, 8, 0, 0},
                                 {MapType::queue, 0, 8, 4, 0},
                                 {MapType::stack, 0, 8, 4, 0},
                                 {MapType::devmap_hash, 4, 4, 4, 0, uapi::F_RDONLY_PROG},
                                 {MapType::ringbuf, 0, 0, 4096, 0},
                                 {MapType::bloom_filter, 0, 8, 8, 0},
                                 {MapType::user_ringbuf, 0, 0, 4096, 0},
                                 {MapType::arena, 0, 0, 16, uapi::F_MMAPABLE}};
  for (const Made& of : all) {
    MapSpec spec = map_spec(of.type, of.key, of.value, of.entries, of.flags, "every_type");
    if (of.type == MapType::array_of_maps || of.type == MapType::hash_of_maps) spec.inner_map_fd = inner.fd();
    const Handle made = map(spec);
    const auto info = kernel().map_info(made.fd());
    ASSERT_TRUE(info.has_value()) << map_type_name(of.type) << ": " << info.error().what;
    EXPECT_EQ(info->type, of.type);
    EXPECT_EQ(info->key_size, of.key);
    EXPECT_EQ(info->value_size, of.value);
    EXPECT_EQ(info->max_entries, of.entries);
    EXPECT_EQ(info->flags, of.flags | of.added_flags) << map_type_name(of.type);
  }
}

TEST_P(KernelContract, QueuesAndStacksHaveNoKeys) {
  for (const MapType type : {MapType::queue, MapType::stack}) {
    const Handle made = map(map_spec(type, 0, 4, 2));
    const auto push = [&](u32 value, u64 flags = 0) {
      return error_of(kernel().map_update_elem(made.fd(), {}, bytes_of(value), flags));
    };
    EXPECT_EQ(push(1), 0);
    EXPECT_EQ(push(2), 0);
    EXPECT_EQ(push(3), E2BIG);
    EXPECT_EQ(push(3, uapi::NOEXIST), EINVAL);
    EXPECT_EQ(push(9, uapi::EXIST), 0) << "in the oldest one's place";
    u32 value = 0;
    EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), {}, mut_bytes_of(value))), 0);
    EXPECT_EQ(value, type == MapType::queue ? 2u : 9u);
    std::vector<u32> popped;
    while (kernel().map_lookup_and_delete_elem(made.fd(), {}, mut_bytes_of(value))) popped.push_back(value);
    EXPECT_EQ(popped, type == MapType::queue ? (std::vector<u32>{2, 9}) : (std::vector<u32>{9, 2}));
    EXPECT_EQ(error_of(kernel().map_lookup_and_delete_elem(made.fd(), {}, mut_bytes_of(value))), ENOENT);
    EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), {}, mut_bytes_of(value))), ENOENT);
    EXPECT_EQ(error_of(kernel().map_delete_elem(made.fd(), {})), EINVAL);
  }
}

TEST_P(KernelContract, BloomFiltersAreAskedForTheValue) {
  const Handle made = map(map_spec(MapType::bloom_filter, 0, 8, 100));
  const u64 pushed = 5;
  u64 asked = 5, absent = 6;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), {}, mut_bytes_of(asked))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), {}, bytes_of(pushed), 0)), 0);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), {}, bytes_of(pushed), uapi::NOEXIST)), EINVAL);
  EXPECT_EQ(error_of(kernel().map_update_elem(made.fd(), {}, bytes_of(pushed), uapi::EXIST)), EINVAL);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), {}, mut_bytes_of(asked))), 0);
  EXPECT_EQ(asked, 5u);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(made.fd(), {}, mut_bytes_of(absent))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_lookup_and_delete_elem(made.fd(), {}, mut_bytes_of(asked))), kENOTSUPP);
}

}  // namespace
}  // namespace skep::contract
