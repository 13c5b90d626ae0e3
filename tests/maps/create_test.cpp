// BPF_MAP_CREATE: every row of the kernel's own matrix, for the types that skep has; refusals of the others.
#include <cerrno>

#include "maps/map_fixture.hpp"
#include "maps/types.hpp"

namespace skep::maps {
namespace {

/// "ok" or the errno's name, as map_create_matrix.json writes it.
std::string verdict(const Result<MapRef>& map) {
  if (map) return "ok";
  switch (map.error().code) {
    case EINVAL:
      return "EINVAL";
    case E2BIG:
      return "E2BIG";
    case ENOMEM:
      return "ENOMEM";
    default:
      return std::to_string(-map.error().code);
  }
}

/// Every type of the recorded kernel but insn_array, which came after 6.18's first release and which this
/// kernel refuses like a number that is no type.
std::vector<MapType> all_types() {
  std::vector<MapType> types;
  for (u32 type = 1; type < map_type_count; ++type) types.push_back(static_cast<MapType>(type));
  return types;
}

class CreateMatrix : public MapTest, public ::testing::WithParamInterface<MapType> {
 protected:
  static constexpr int inner_fd = 50;

  /// "k4 v8 n8 f0x0: ok"
  MapSpec base(const std::string& text) {
    std::array<u32, 4> numbers = {4, 8, 1, 0};
    if (text.starts_with('k')) {
      EXPECT_EQ(
          std::sscanf(text.c_str(), "k%u v%u n%u f%x", &numbers[0], &numbers[1], &numbers[2], &numbers[3]),
          4);
    }
    MapSpec of = spec(GetParam(), numbers[0], numbers[1], numbers[2], numbers[3]);
    if (GetParam() == MapType::array_of_maps || GetParam() == MapType::hash_of_maps) {
      of.inner_map_fd = inner_fd;
      objects_.maps[inner_fd] = make(spec(MapType::array, 4, 8, 1));
    }
    return of;
  }
  void check(const MapSpec& from, const nlohmann::json& rows, void (*change)(MapSpec&, const std::string&)) {
    for (const auto& [setting, expected] : rows.items()) {
      MapSpec of = from;
      change(of, setting);
      EXPECT_EQ(verdict(create(of, environment())), expected.get<std::string>())
          << map_type_name(of.type) << " with " << setting;
    }
  }
};

TEST_P(CreateMatrix, EqualsTheKernels) {
  const auto matrix = golden_json("map_create_matrix.json").at(std::string(map_type_name(GetParam())));
  const std::string described = matrix.at("base").get<std::string>();
  const MapSpec from = base(described);
  EXPECT_EQ(verdict(create(from, environment())), described.substr(described.rfind(' ') + 1));
  if (!matrix.contains("flags")) return;  // needs BTF: see below
  check(from, matrix.at("key_size"),
        [](MapSpec& s, const std::string& to) { s.key_size = static_cast<u32>(std::stoul(to)); });
  check(from, matrix.at("value_size"),
        [](MapSpec& s, const std::string& to) { s.value_size = static_cast<u32>(std::stoul(to)); });
  check(from, matrix.at("max_entries"),
        [](MapSpec& s, const std::string& to) { s.max_entries = static_cast<u32>(std::stoul(to)); });
  check(from, matrix.at("flags"), [](MapSpec& s, const std::string& to) {
    const bool whole = to.starts_with('f');
    const u32 flags = static_cast<u32>(std::stoul(to.substr(whole ? 1 : 0), nullptr, 16));
    s.flags = whole ? flags : s.flags | flags;
  });
}
INSTANTIATE_TEST_SUITE_P(Types, CreateMatrix, ::testing::ValuesIn(all_types()),
                         [](const auto& of) { return std::string(map_type_name(of.param)); });

TEST_F(MapTest, EveryTypeHasARowOfItsOwn) {
  for (const MapType type : all_types()) {
    ASSERT_NE(find_row(type), nullptr) << map_type_name(type);
    EXPECT_EQ(find_row(type)->type, type);
  }
}

TEST_F(MapTest, StructOpsIsRefusedByName) {
  MapSpec of = spec(MapType::struct_ops, 4, 4, 1);
  EXPECT_EQ(error_of(create(of, environment())), EINVAL);
  of.btf_vmlinux_value_type_id = 7;
  const auto tables = create(of, environment());
  ASSERT_FALSE(tables.has_value());
  EXPECT_EQ(tables.error().code, kENOTSUPP);
  EXPECT_NE(tables.error().what.find("struct_ops"), std::string::npos);
  EXPECT_NE(tables.error().what.find("not supported by skep"), std::string::npos);
  EXPECT_EQ(error_of(create(spec(static_cast<MapType>(99), 4, 4, 4), environment())), EINVAL);
  EXPECT_EQ(error_of(create(spec(MapType::unspec, 4, 4, 4), environment())), EINVAL);
}

/// Recorded from Linux 6.18.44: these maps need BTF.
TEST_F(MapTest, LocalStoragesNeedBtfAndTheirFlag) {
  for (const MapType type :
       {MapType::sk_storage, MapType::inode_storage, MapType::task_storage, MapType::cgrp_storage}) {
    MapSpec good = spec(type, 4, 8, 0, uapi::F_NO_PREALLOC);
    EXPECT_EQ(error_of(create(good, environment())), EINVAL) << "no BTF";
    good.btf_key_type_id = 1;
    good.btf_value_type_id = 2;
    EXPECT_EQ(error_of(create(good, environment())), 0);
    EXPECT_EQ(make(good)->memlock(), 480u);
    const auto with = [&](auto change) {
      MapSpec of = good;
      change(of);
      return error_of(create(of, environment()));
    };
    EXPECT_EQ(with([](MapSpec& of) { of.flags = 0; }), EINVAL);
    EXPECT_EQ(with([](MapSpec& of) { of.flags |= uapi::F_CLONE; }), 0);
    EXPECT_EQ(with([](MapSpec& of) { of.flags |= uapi::F_NUMA_NODE; }), EINVAL);
    EXPECT_EQ(with([](MapSpec& of) { of.max_entries = 1; }), EINVAL);
    EXPECT_EQ(with([](MapSpec& of) { of.key_size = 8; }), EINVAL);
    EXPECT_EQ(with([](MapSpec& of) { of.value_size = 1 << 16; }), E2BIG);
  }
}

TEST_F(MapTest, ReservedTypesRefuseTheirElementsByName) {
  const auto map = make(spec(MapType::cgroup_storage, 8, 4, 0));
  const u64 key = 0;
  const u32 value = 0;
  const auto put = map->user_update(bytes_of(key), bytes_of(value), 0);
  ASSERT_FALSE(put.has_value());
  EXPECT_EQ(put.error().code, EOPNOTSUPP);
  EXPECT_NE(put.error().what.find("cgroup_storage"), std::string::npos);
  EXPECT_NE(put.error().what.find("not supported by skep"), std::string::npos);
}

TEST_F(MapTest, NamesHaveAtMostFifteenPlainCharacters) {
  MapSpec of = spec(MapType::array, 4, 4, 1);
  for (const auto& [name, code] : std::vector<std::pair<std::string, int>>{{"a.b_c", 0},
                                                                           {"abcdefghijklmno", 0},
                                                                           {"abcdefghijklmnop", EINVAL},
                                                                           {"a b", EINVAL},
                                                                           {"a-b", EINVAL}}) {
    of.name = name;
    EXPECT_EQ(error_of(create(of, environment())), code) << name;
  }
}

TEST_F(MapTest, MapExtraAndNumaNodeNeedTheirTypeOrFlag) {
  MapSpec of = spec(MapType::array, 4, 4, 1);
  of.map_extra = 5;
  EXPECT_EQ(error_of(create(of, environment())), EINVAL);
  of = spec(MapType::array, 4, 4, 1, uapi::F_NUMA_NODE);
  of.numa_node = 4000;
  EXPECT_EQ(error_of(create(of, environment())), EINVAL);
}

TEST_F(MapTest, MemlockIsTheKernelsFormula) {
  // tests/golden/map_semantics.txt: type, key, value, entries, flags -> bytes, on two CPUs.
  const std::vector<std::pair<MapSpec, u64>> captured = {{spec(MapType::hash, 4, 8, 1), 1120},
                                                         {spec(MapType::hash, 4, 8, 16), 2320},
                                                         {spec(MapType::hash, 4, 8, 1024), 82960},
                                                         {spec(MapType::hash, 4, 8, 1024, 1), 17280},
                                                         {spec(MapType::hash, 16, 64, 100), 16016},
                                                         {spec(MapType::percpu_hash, 4, 8, 16), 2432},
                                                         {spec(MapType::array, 4, 4, 1), 320},
                                                         {spec(MapType::array, 4, 4, 1, 0x400), 8192},
                                                         {spec(MapType::array, 4, 15, 1, 0x480), 8192},
                                                         {spec(MapType::array, 4, 8, 1000), 8312},
                                                         {spec(MapType::array, 4, 1, 3), 336},
                                                         {spec(MapType::percpu_array, 4, 8, 10), 552},
                                                         {spec(MapType::prog_array, 4, 4, 4), 344},
                                                         {spec(MapType::perf_event_array, 4, 4, 2), 328},
                                                         {spec(MapType::cgroup_array, 4, 4, 3), 336},
                                                         {spec(MapType::queue, 0, 4, 16), 380},
                                                         {spec(MapType::stack, 0, 8, 16), 448},
                                                         {spec(MapType::ringbuf, 0, 0, 4096), 16728},
                                                         {spec(MapType::ringbuf, 0, 0, 65536), 78408},
                                                         {spec(MapType::user_ringbuf, 0, 0, 8192), 20840},
                                                         {spec(MapType::bloom_filter, 0, 4, 16), 328},
                                                         {spec(MapType::bloom_filter, 0, 8, 1000), 1336},
                                                         {spec(MapType::bloom_filter, 0, 8, 1), 320},
                                                         {spec(MapType::bloom_filter, 0, 8, 100000), 131384},
                                                         {spec(MapType::devmap, 4, 4, 4), 376},
                                                         {spec(MapType::devmap, 4, 8, 1000), 8344},
                                                         {spec(MapType::devmap_hash, 4, 4, 8), 408},
                                                         {spec(MapType::devmap_hash, 4, 4, 1000), 8536},
                                                         {spec(MapType::cpumap, 4, 4, 2), 320},
                                                         {spec(MapType::xskmap, 4, 4, 5), 344},
                                                         {spec(MapType::sockmap, 4, 4, 5), 416},
                                                         {spec(MapType::sockhash, 4, 4, 5), 512},
                                                         {spec(MapType::reuseport_sockarray, 4, 8, 5), 336},
                                                         {spec(MapType::cgroup_storage, 16, 100, 0), 328},
                                                         {spec(MapType::arena, 0, 0, 16, 0x400), 0},
                                                         {spec(MapType::stack_trace, 4, 64, 8), 1024},
                                                         {spec(MapType::stack_trace, 4, 1016, 7), 7608}};
  for (const auto& [of, expected] : captured)
    EXPECT_EQ(make(of)->memlock(), expected) << map_type_name(of.type);
}

}  // namespace
}  // namespace skep::maps
