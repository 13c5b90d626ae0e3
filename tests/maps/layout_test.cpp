// Where values stand: what rewritten code and clients' mappings rely on.
#include <sys/mman.h>

#include <cerrno>

#include "maps/hash.hpp"
#include "maps/map_fixture.hpp"

namespace skep::maps {
namespace {

class Layout : public MapTest {};

TEST_F(Layout, ArrayValuesFollowTheMapAtTheKernelsDistance) {
  for (const u32 flags : {0u, uapi::F_MMAPABLE}) {
    const auto map = make(spec(MapType::array, 4, 5, 3, flags));
    const u32 k = 2;
    EXPECT_EQ(reinterpret_cast<u64>(map.get()), map->facts().map_address);
    EXPECT_EQ(map->facts().values_address, map->facts().map_address + array_values_offset);
    EXPECT_EQ(reinterpret_cast<u64>(map->lookup(bytes_of(k).data(), 0)), map->facts().values_address + 2 * 8);
  }
}

TEST_F(Layout, HashElementsHaveTheKernelsHeader) {
  const auto map = make(spec(MapType::hash, 6, 8, 4));
  const auto key = bytes("abcdef"), value = bytes("12345678");
  ASSERT_EQ(map->update(key.data(), value.data(), 0, 0), 0);
  const rcu::Reader reader;
  std::byte* element = static_cast<HashMap*>(map.get())->lookup_element(key.data());
  ASSERT_NE(element, nullptr);
  EXPECT_EQ(element + hash_elem_header + 8, map->lookup(key.data(), 0));
  EXPECT_EQ(static_cast<HashMap*>(map.get())->lookup_element(bytes("zzzzzz").data()), nullptr);
}

TEST_F(Layout, PercpuArrayPointersStandWhereTheKernelHasThem) {
  const auto map = make(spec(MapType::percpu_array, 4, 12, 3));
  auto* const* pointers = reinterpret_cast<std::byte**>(map->facts().map_address + array_values_offset);
  for (u32 k = 0; k < 3; ++k)
    for (u32 cpu = 0; cpu < test_cpus; ++cpu)
      EXPECT_EQ(map->lookup(bytes_of(k).data(), cpu), pointers[k] + area_->offset_of(cpu));
}

TEST_F(Layout, MmapableArraysAreSharedMemory) {
  const auto map = make(spec(MapType::array, 4, 8, 2, uapi::F_MMAPABLE));
  auto memory = map->memory();
  ASSERT_TRUE(memory.has_value()) << memory.error().what;
  EXPECT_EQ(memory->size, 4096u);
  EXPECT_EQ(memory->stride, 8u);
  auto mapped = Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0, "test");
  ASSERT_TRUE(mapped.has_value());
  std::memcpy(mapped->data() + 8, "mapped!!", 8);
  const u32 k = 1;
  EXPECT_EQ(look(*map, bytes_of(k)), "mapped!!");
}

TEST_F(Layout, FrozenArraysCannotBeMappedForWriting) {
  const auto map = make(spec(MapType::array, 4, 8, 1, uapi::F_MMAPABLE));
  ASSERT_TRUE(map->freeze().has_value());
  auto memory = map->memory();
  ASSERT_TRUE(memory.has_value());
  EXPECT_FALSE(
      Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0, "test").has_value());
  EXPECT_TRUE(Mapping::map(4096, PROT_READ, MAP_SHARED, memory->fd.get(), 0, "test").has_value());
}

TEST_F(Layout, OnlyFrozenReadOnlyArraysAreConstantsToTheVerifier) {
  const u32 k = 0;
  const auto rodata = make(spec(MapType::array, 4, 8, 1, uapi::F_RDONLY_PROG));
  ASSERT_TRUE(rodata->user_update(bytes_of(k), bytes("constant"), 0).has_value());
  EXPECT_TRUE(rodata->snapshot().rodata.empty());
  ASSERT_TRUE(rodata->freeze().has_value());
  EXPECT_EQ(text(rodata->snapshot().rodata), "constant");
  const auto data = make(spec(MapType::array, 4, 8, 1));
  ASSERT_TRUE(data->freeze().has_value());
  EXPECT_TRUE(data->snapshot().rodata.empty()) << "programs may still write to it";
}

TEST_F(Layout, MapsThatAreNotMmapableSaySo) {
  EXPECT_EQ(error_of(make(spec(MapType::array, 4, 8, 1))->memory()), EINVAL);
  EXPECT_EQ(error_of(make(spec(MapType::hash, 4, 8, 1))->memory()), EINVAL);
}

TEST(PercpuArea, GivesZeroedMemoryAtTheSameDistanceOnEveryCpu) {
  const auto area = *PercpuArea::create(3, u64{1} << 20);
  std::byte* first = *area->allocate(100);
  std::byte* second = *area->allocate(8);
  EXPECT_NE(first, second);
  for (u32 cpu = 0; cpu < 3; ++cpu) std::memset(first + area->offset_of(cpu), 0xee, 100);
  area->release(first, 100);
  std::byte* again = *area->allocate(64);
  EXPECT_EQ(again, first) << "freed memory is used again";
  for (u32 cpu = 0; cpu < 3; ++cpu)
    for (u32 i = 0; i < 64; ++i) EXPECT_EQ(again[area->offset_of(cpu) + i], std::byte{0});
  EXPECT_EQ(error_of(area->allocate(u64{2} << 20)), ENOMEM);
  EXPECT_EQ(error_of(area->allocate((u64{1} << 20) - 64)), ENOMEM);
  area->release(second, 8);
  area->release(again, 64);
  EXPECT_EQ(error_of(area->allocate(u64{1} << 20)), 0) << "all of it is free again, in one piece";
}

}  // namespace
}  // namespace skep::maps
