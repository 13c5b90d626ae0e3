// What every map type promises, over every row of the table; what differs between them is said in one place
// (Traits), from tests/golden/map_semantics*.txt.
#include <cerrno>

#include "maps/map_fixture.hpp"
#include "maps/value_copy.hpp"

namespace skep::maps {
namespace {

struct Traits {
  MapType type;
  u32 flags;
  bool array;  ///< all keys exist from the start and cannot be deleted
  const char* name;
};
const std::array<Traits, 6> all = {{{MapType::hash, 0, false, "hash"},
                                    {MapType::hash, uapi::F_NO_PREALLOC, false, "hash_no_prealloc"},
                                    {MapType::percpu_hash, 0, false, "percpu_hash"},
                                    {MapType::array, 0, true, "array"},
                                    {MapType::array, uapi::F_MMAPABLE, true, "array_mmapable"},
                                    {MapType::percpu_array, 0, true, "percpu_array"}}};

class MapContract : public MapTest, public ::testing::WithParamInterface<Traits> {
 protected:
  static constexpr u32 entries = 4;
  MapRef fresh(u32 extra_flags = 0) {
    return make(spec(GetParam().type, 4, 8, entries, GetParam().flags | extra_flags));
  }
  static ByteView key(const u32& k) { return bytes_of(k); }
  std::vector<std::byte> value(Map& map, char fill) {
    return std::vector<std::byte>(map.user_value_size(), std::byte(fill));
  }
};

TEST_P(MapContract, FlagsOfUpdatesAreTheKernels) {
  const auto map = fresh();
  const u32 k = 1, beyond = 77;
  const auto v = value(*map, 'x');
  const bool array = GetParam().array;
  EXPECT_EQ(error_of(map->user_update(key(k), v, uapi::ANY)), 0);
  EXPECT_EQ(error_of(map->user_update(key(k), v, uapi::EXIST)), 0);
  EXPECT_EQ(error_of(map->user_update(key(k), v, uapi::NOEXIST)), EEXIST);
  EXPECT_EQ(error_of(map->user_update(key(k), v, 3)), EINVAL);
  EXPECT_EQ(error_of(map->user_update(key(k), v, uapi::LOCK)), EINVAL);
  EXPECT_EQ(error_of(map->user_update(key(k), v, 8)), EINVAL);
  EXPECT_EQ(error_of(map->user_update(key(beyond), v, uapi::EXIST)), array ? E2BIG : ENOENT);
  EXPECT_EQ(look(*map, key(k)), std::string(map->user_value_size(), 'x'));
}

TEST_P(MapContract, FullMapsTakeNoNewKeysButReplaceOldOnes) {
  const auto map = fresh();
  for (u32 k = 0; k < entries; ++k) EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'a'), 0)), 0);
  const u32 extra = entries, old = 0;
  EXPECT_EQ(error_of(map->user_update(key(extra), value(*map, 'b'), 0)), E2BIG);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(error_of(map->user_update(key(old), value(*map, 'c'), 0)), 0);
  EXPECT_EQ(look(*map, key(old)), std::string(map->user_value_size(), 'c'));
  EXPECT_EQ(look(*map, key(extra)), "errno 2");
}

TEST_P(MapContract, DeletedKeysAreGoneAndMakeRoom) {
  const auto map = fresh();
  const u32 k = 2;
  EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'a'), 0)), 0);
  if (GetParam().array) {
    EXPECT_EQ(error_of(map->user_delete(key(k))), EINVAL);
    return;
  }
  EXPECT_EQ(error_of(map->user_delete(key(k))), 0);
  EXPECT_EQ(error_of(map->user_delete(key(k))), ENOENT);
  EXPECT_EQ(look(*map, key(k)), "errno 2");
  for (u32 i = 0; i < 1000; ++i) {
    ASSERT_EQ(error_of(map->user_update(key(i), value(*map, 'b'), uapi::NOEXIST)), 0);
    ASSERT_EQ(error_of(map->user_delete(key(i))), 0);
  }
}

TEST_P(MapContract, IterationVisitsEachKeyOnce) {
  const auto map = fresh();
  for (u32 k = 0; k < entries; ++k) EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'a'), 0)), 0);
  std::vector<u32> seen;
  u32 at = 0;
  auto more = map->user_next_key({}, mut_bytes_of(at));
  while (more && seen.size() < 10) {
    seen.push_back(at);
    const u32 from = at;
    more = map->user_next_key(key(from), mut_bytes_of(at));
  }
  EXPECT_EQ(error_of(more), ENOENT);
  std::ranges::sort(seen);
  EXPECT_EQ(seen, (std::vector<u32>{0, 1, 2, 3}));
  const u32 unknown = 12345;
  u32 first = 0, after_unknown = 99;
  EXPECT_TRUE(map->user_next_key({}, mut_bytes_of(first)).has_value());
  EXPECT_TRUE(map->user_next_key(key(unknown), mut_bytes_of(after_unknown)).has_value());
  EXPECT_EQ(first, after_unknown);
}

TEST_P(MapContract, LookupAndDeleteIsForHashes) {
  const auto map = fresh();
  const u32 k = 1;
  auto v = value(*map, 'q');
  EXPECT_EQ(error_of(map->user_update(key(k), v, 0)), 0);
  std::ranges::fill(v, std::byte{0});
  EXPECT_EQ(error_of(map->user_take(key(k), v, 0)), GetParam().array ? kENOTSUPP : 0);
  if (GetParam().array) return;
  EXPECT_EQ(text(v), std::string(v.size(), 'q'));
  EXPECT_EQ(error_of(map->user_take(key(k), v, 0)), ENOENT);
}

TEST_P(MapContract, WrongLengthsAreRefused) {
  const auto map = fresh();
  auto v = value(*map, 'a');
  const u64 long_key = 0;
  EXPECT_EQ(error_of(map->user_update(bytes_of(long_key), v, 0)), EINVAL);
  EXPECT_EQ(error_of(map->user_lookup(bytes_of(long_key), v, 0)), EINVAL);
  v.pop_back();
  const u32 k = 0;
  EXPECT_EQ(error_of(map->user_update(key(k), v, 0)), EINVAL);
  EXPECT_EQ(error_of(map->user_lookup(key(k), v, 0)), EINVAL);
}

TEST_P(MapContract, FrozenMapsCanOnlyBeRead) {
  const auto map = fresh();
  const u32 k = 0;
  EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'f'), 0)), 0);
  EXPECT_EQ(error_of(map->freeze()), 0);
  EXPECT_TRUE(map->facts().frozen);
  EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'g'), 0)), EPERM);
  EXPECT_EQ(error_of(map->user_delete(key(k))), EPERM);
  EXPECT_EQ(error_of(map->freeze()), EPERM);
  EXPECT_EQ(look(*map, key(k)), std::string(map->user_value_size(), 'f'));
  const std::vector<std::byte> from_program(8, std::byte{'p'});
  EXPECT_EQ(map->update(key(k).data(), from_program.data(), 0, 0), 0) << "programs still write";
}

TEST_P(MapContract, UserAccessFlagsAreObeyed) {
  const u32 k = 0;
  const auto read_only = fresh(uapi::F_RDONLY);
  EXPECT_EQ(error_of(read_only->user_update(key(k), value(*read_only, 'a'), 0)), EPERM);
  EXPECT_EQ(error_of(read_only->freeze()), EPERM);
  const auto write_only = fresh(uapi::F_WRONLY);
  EXPECT_EQ(error_of(write_only->user_update(key(k), value(*write_only, 'a'), 0)), 0);
  EXPECT_EQ(look(*write_only, key(k)), "errno 1");
}

TEST_P(MapContract, ProgramsSeeWhatUsersWroteAndTheOtherWayRound) {
  const auto map = fresh();
  const rcu::Reader reader;
  const u32 k = 3;
  EXPECT_EQ(error_of(map->user_update(key(k), value(*map, 'u'), 0)), 0);
  for (u32 cpu = 0; cpu < test_cpus; ++cpu) {
    std::byte* seen = map->lookup(key(k).data(), cpu);
    ASSERT_NE(seen, nullptr);
    EXPECT_EQ(text({seen, 8}), "uuuuuuuu");
  }
  const u32 cpu = 1;
  const auto from_program = bytes("program!");
  EXPECT_EQ(map->update(key(k).data(), from_program.data(), 0, cpu), 0);
  EXPECT_EQ(text({map->lookup(key(k).data(), cpu), 8}), "program!");
  const bool percpu = map->user_value_size() != 8;
  EXPECT_EQ(look(*map, key(k)), percpu ? "uuuuuuuuprogram!" : "program!");
  const u32 missing = 99;
  EXPECT_EQ(map->lookup(key(missing).data(), 0), nullptr);
  EXPECT_EQ(map->remove(key(missing).data()), GetParam().array ? -EINVAL : -ENOENT);
}

TEST_P(MapContract, BatchesMoveWhatSingleOperationsWould) {
  const auto map = fresh();
  const u32 size = map->user_value_size();
  std::vector<u32> keys = {0, 1, 2, 3};
  std::vector<std::byte> values(entries * size);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::byte(i / size + 'a');
  u32 moved = 0;
  const auto put = map->user_update_batch(std::as_bytes(std::span(keys)), values, entries, 0, moved);
  ASSERT_TRUE(put.has_value()) << put.error().what;
  EXPECT_EQ(moved, entries);
  std::vector<u32> got_keys(8);
  std::vector<std::byte> got(8 * size);
  u32 position = 0;
  const auto all_of = map->user_lookup_batch({}, mut_bytes_of(position),
                                             std::as_writable_bytes(std::span(got_keys)), got, 8, 0, false);
  ASSERT_TRUE(all_of.has_value()) << all_of.error().what;
  EXPECT_EQ(all_of->count, entries);
  EXPECT_TRUE(all_of->end);
  for (u32 i = 0; i < entries; ++i)
    EXPECT_EQ(text(ByteView(got).subspan(i * size, size)),
              std::string(size, static_cast<char>('a' + got_keys[i])));
  EXPECT_EQ(error_of(map->user_delete_batch(std::as_bytes(std::span(keys)), entries, moved)),
            GetParam().array ? kENOTSUPP : 0);
  if (!GetParam().array) {
    EXPECT_EQ(error_of(map->user_next_key({}, mut_bytes_of(position))), ENOENT);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MapContract, ::testing::ValuesIn(all),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace skep::maps
