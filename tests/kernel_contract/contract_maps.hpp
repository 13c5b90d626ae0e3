// The contract's part about maps. See contract.hpp.
#pragma once
#include "kernel_contract/contract.hpp"

namespace skep::contract {

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
  const auto put = kernel().map_update_batch(made.fd(), std::as_bytes(std::span(keys)),
                                             std::as_bytes(std::span(values)), 5, 0);
  ASSERT_TRUE(put.has_value()) << put.error().what;
  EXPECT_EQ(*put, 5u);
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
  EXPECT_EQ(error_of(kernel().map_delete_batch(made.fd(), std::as_bytes(std::span(keys)), 5)), 0);
  EXPECT_EQ(error_of(kernel().map_get_next_key(made.fd(), {}, mut_bytes_of(position))), ENOENT);
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

}  // namespace skep::contract
