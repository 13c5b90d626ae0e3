// Damaged objects: cut at every few bytes, and with bytes changed. read_object() refuses them in one line or
// reads something that load() can work on; neither crashes.
#include "loader/fake_kernel.hpp"
#include "loader/loader.hpp"
#include "loader/objects.hpp"

namespace skep::loader {
namespace {

/// Reads, and loads what could be read; returns whether it could.
bool survives(std::string_view bytes, const std::string& what) {
  Result<ObjectSpec> spec = read_object(bytes_of(bytes), "damaged.o");
  if (!spec) {
    EXPECT_FALSE(spec.error().what.empty()) << what;
    EXPECT_EQ(spec.error().what.find('\n'), std::string::npos) << what;
    EXPECT_NE(spec.error().code, 0) << what;
    return false;
  }
  test::FakeKernel kernel;
  kernel.pin_dir = "/nonexistent";
  LoadOptions options;
  options.environment = Environment{.kconfig = "CONFIG_BPF=y\nCONFIG_HZ=100\n", .kernel_version = 1};
  options.type = ProgType::xdp;
  options.core_btf = spec->btf ? &*spec->btf : nullptr;
  Result<LoadedObject> loaded = load(*spec, kernel, options);
  if (!loaded) {
    EXPECT_TRUE(kernel.open.empty()) << what;
  }
  return true;
}

class Damaged : public ::testing::TestWithParam<const char*> {};

TEST_P(Damaged, TruncatedAnywhere) {
  std::string good = test::object_bytes(GetParam());
  for (std::size_t size = 0; size < good.size(); size += 23)
    survives(std::string_view(good).substr(0, size), "cut at " + std::to_string(size));
}

TEST_P(Damaged, WithBytesChanged) {
  std::string good = test::object_bytes(GetParam());
  ASSERT_TRUE(survives(good, "undamaged"));
  std::size_t read = 0, tried = 0;
  for (std::size_t at = 0; at < good.size(); at += 5) {
    for (int flip : {0x01, 0x10, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      read += survives(bad, "byte " + std::to_string(at) + " ^ " + std::to_string(flip));
      ++tried;
    }
  }
  EXPECT_LT(read, tried);  // some damage is seen
  EXPECT_GT(read, 0u);     // and some does not matter
}

TEST_P(Damaged, WithWordsChanged) {
  std::string good = test::object_bytes(GetParam());
  for (std::size_t at = 0; at + 4 <= good.size(); at += 20) {
    for (u32 word : {0u, 0xffffffffu, 0x7fffffffu, 0x00010000u}) {
      std::string bad = good;
      std::memcpy(bad.data() + at, &word, 4);
      survives(bad, "word at " + std::to_string(at));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objects, Damaged,
                         ::testing::Values("hello.bpf.o", "maps.bpf.o", "subprogs.bpf.o", "externs.bpf.o",
                                           "legacy.bpf.o", "core.bpf.o"),
                         [](const auto& object) {
                           std::string name = object.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(DamagedObject, NamesSectionAndOffset) {
  std::string good = test::object_bytes("hello.bpf.o");
  Result<ObjectSpec> cut = read_object(bytes_of(std::string_view(good).substr(0, good.size() / 2)), "cut.o");
  ASSERT_FALSE(cut.has_value());
  EXPECT_NE(cut.error().what.find("cut.o"), std::string::npos);
}

}  // namespace
}  // namespace skep::loader
