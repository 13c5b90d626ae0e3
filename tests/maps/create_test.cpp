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
      return std::to_string(map.error().code);
  }
}

struct Base {
  MapType type;
  u32 key, value, entries, flags;
};
const std::array<Base, 4> bases = {{{MapType::hash, 4, 8, 8, 0},
                                    {MapType::array, 4, 8, 8, 0},
                                    {MapType::percpu_hash, 4, 8, 8, 0},
                                    {MapType::percpu_array, 4, 8, 8, 0}}};

class CreateMatrix : public MapTest, public ::testing::WithParamInterface<Base> {
 protected:
  void check(const nlohmann::json& rows, void (*change)(MapSpec&, const std::string&)) {
    for (const auto& [setting, expected] : rows.items()) {
      const Base& base = GetParam();
      MapSpec of = spec(base.type, base.key, base.value, base.entries, base.flags);
      change(of, setting);
      EXPECT_EQ(verdict(create(of, {area_.get()})), expected.get<std::string>())
          << map_type_name(base.type) << " with " << setting;
    }
  }
};

TEST_P(CreateMatrix, EqualsTheKernels) {
  const auto matrix = golden_json("map_create_matrix.json").at(std::string(map_type_name(GetParam().type)));
  check(matrix.at("key_size"),
        [](MapSpec& s, const std::string& to) { s.key_size = static_cast<u32>(std::stoul(to)); });
  check(matrix.at("value_size"),
        [](MapSpec& s, const std::string& to) { s.value_size = static_cast<u32>(std::stoul(to)); });
  check(matrix.at("max_entries"),
        [](MapSpec& s, const std::string& to) { s.max_entries = static_cast<u32>(std::stoul(to)); });
  check(matrix.at("flags"), [](MapSpec& s, const std::string& to) {
    const bool whole = to.starts_with('f');
    const u32 flags = static_cast<u32>(std::stoul(to.substr(whole ? 1 : 0), nullptr, 16));
    s.flags = whole ? flags : s.flags | flags;
  });
}
INSTANTIATE_TEST_SUITE_P(Types, CreateMatrix, ::testing::ValuesIn(bases),
                         [](const auto& of) { return std::string(map_type_name(of.param.type)); });

TEST_F(MapTest, EverySupportedTypeHasARowOfItsOwn) {
  for (const MapType type : supported_types()) {
    ASSERT_NE(find_row(type), nullptr);
    EXPECT_EQ(find_row(type)->type, type);
  }
}

TEST_F(MapTest, UnsupportedTypesAreRefusedByName) {
  const auto queue = create(spec(MapType::queue, 0, 4, 4), {area_.get()});
  ASSERT_FALSE(queue.has_value());
  EXPECT_EQ(queue.error().code, EINVAL);
  EXPECT_NE(queue.error().what.find("queue"), std::string::npos);
  EXPECT_NE(queue.error().what.find("not supported by skep"), std::string::npos);
  EXPECT_EQ(error_of(create(spec(static_cast<MapType>(99), 4, 4, 4), {area_.get()})), EINVAL);
  EXPECT_EQ(error_of(create(spec(MapType::unspec, 4, 4, 4), {area_.get()})), EINVAL);
}

TEST_F(MapTest, NamesHaveAtMostFifteenPlainCharacters) {
  MapSpec of = spec(MapType::array, 4, 4, 1);
  for (const auto& [name, code] : std::vector<std::pair<std::string, int>>{{"a.b_c", 0},
                                                                           {"abcdefghijklmno", 0},
                                                                           {"abcdefghijklmnop", EINVAL},
                                                                           {"a b", EINVAL},
                                                                           {"a-b", EINVAL}}) {
    of.name = name;
    EXPECT_EQ(error_of(create(of, {area_.get()})), code) << name;
  }
}

TEST_F(MapTest, MapExtraAndNumaNodeNeedTheirTypeOrFlag) {
  MapSpec of = spec(MapType::array, 4, 4, 1);
  of.map_extra = 5;
  EXPECT_EQ(error_of(create(of, {area_.get()})), EINVAL);
  of = spec(MapType::array, 4, 4, 1, uapi::F_NUMA_NODE);
  of.numa_node = 4000;
  EXPECT_EQ(error_of(create(of, {area_.get()})), EINVAL);
}

TEST_F(MapTest, MemlockIsTheKernelsFormula) {
  // tests/golden/map_semantics.txt: type, key, value, entries, flags -> bytes, on two CPUs.
  const std::vector<std::pair<MapSpec, u64>> captured = {
      {spec(MapType::hash, 4, 8, 1), 1120},          {spec(MapType::hash, 4, 8, 16), 2320},
      {spec(MapType::hash, 4, 8, 1024), 82960},      {spec(MapType::hash, 4, 8, 1024, 1), 17280},
      {spec(MapType::hash, 16, 64, 100), 16016},     {spec(MapType::percpu_hash, 4, 8, 16), 2432},
      {spec(MapType::array, 4, 4, 1), 320},          {spec(MapType::array, 4, 4, 1, 0x400), 8192},
      {spec(MapType::array, 4, 15, 1, 0x480), 8192}, {spec(MapType::array, 4, 8, 1000), 8312},
      {spec(MapType::array, 4, 1, 3), 336},          {spec(MapType::percpu_array, 4, 8, 10), 552}};
  for (const auto& [of, expected] : captured)
    EXPECT_EQ(make(of)->memlock(), expected) << map_type_name(of.type);
}

}  // namespace
}  // namespace skep::maps
