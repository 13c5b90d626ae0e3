// The machine's own kernel as the judge: what load() makes of these objects, Linux takes. Skipped where
// bpf(2) is refused.
#include "client/linux_kernel.hpp"
#include "loader/loader.hpp"
#include "loader/objects.hpp"

namespace skep::loader {
namespace {

class OnLinux : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    Result<Handle> map = kernel.map_create(
        {.type = MapType::array, .key_size = 4, .value_size = 4, .max_entries = 1, .name = "probe"});
    if (!map) GTEST_SKIP() << "bpf(2) is refused here: " << map.error().what;
  }
  client::LinuxKernel kernel;
};

TEST_P(OnLinux, Loads) {
  test::Messages messages;
  ObjectSpec spec = test::object(GetParam());
  for (MapDef& map : spec.maps) map.pin_by_name = false;  // leave the machine's pins alone
  LoadOptions options;
  options.diagnostics = &messages;
  Result<LoadedObject> loaded = load(spec, kernel, options);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().what << "\n" << messages.warnings;
  EXPECT_EQ(messages.warnings, "");
  EXPECT_TRUE(static_cast<bool>(loaded->btf));
  for (const LoadedProgram& program : loaded->programs) {
    ProgramInfo info = kernel.prog_info(program.handle.fd()).value();
    EXPECT_EQ(info.type, program.type);
    EXPECT_EQ(info.name, program.name.substr(0, 15));
    EXPECT_EQ(info.func_info.count(), spec.program(program.name)->func_info.count());
    EXPECT_NE(info.btf_id, 0u);
  }
  for (std::size_t i = 0; i < loaded->maps.size(); ++i) {
    MapInfo info = kernel.map_info(loaded->maps[i].handle.fd()).value();
    EXPECT_EQ(info.name, spec.maps[i].spec.name);
    EXPECT_EQ(info.flags, spec.maps[i].spec.flags);
    EXPECT_EQ(info.value_size, spec.maps[i].spec.value_size);
  }
}

INSTANTIATE_TEST_SUITE_P(Objects, OnLinux,
                         ::testing::Values("hello.bpf.o", "hello-func.bpf.o", "globals.bpf.o", "loop.bpf.o",
                                           "tc.bpf.o", "maps.bpf.o", "subprogs.bpf.o", "externs.bpf.o",
                                           "legacy.bpf.o", "kernel_core.bpf.o"),
                         [](const auto& object) {
                           std::string name = object.param;
                           name = name.substr(0, name.find('.'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace skep::loader
