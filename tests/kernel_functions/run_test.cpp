// Each program of bpf/*.bpf.c returns 0, or the line of what was wrong: on Linux, which is the judge, and
// here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <sched.h>

#include <chrono>
#include <thread>

#include "base/fd.hpp"
#include "base/rcu.hpp"
#include "client/linux_kernel.hpp"
#include "loader/loader.hpp"
#include "maps/objects.hpp"
#include "runtime/user_kernel.hpp"

namespace skep {
namespace {

loader::ObjectSpec object(const std::string& name) {
  auto text = read_file(std::string(SKEP_OBJECTS) + "/" + name + ".bpf.o");
  EXPECT_TRUE(text.has_value()) << name;
  auto spec = loader::read_object(bytes_of(*text), name, nullptr);
  EXPECT_TRUE(spec.has_value()) << spec.error().what;
  return *std::move(spec);
}

void run_all(Kernel& kernel, const std::string& name) {
  loader::LoadOptions options;
  std::string refused;
  options.on_attempt = [&](const loader::Attempt& attempt) {
    if (attempt.code != 0)
      refused += fmt::format("{}: {} {}\n", attempt.program, attempt.message, attempt.log);
  };
  const auto loaded = loader::load(object(name), kernel, options);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().what << "\n" << refused;
  for (const loader::LoadedProgram& program : loaded->programs) {
    if (program.name.starts_with("check_")) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    TestRunSpec run;
    if (program.type != ProgType::syscall) run.data_in.resize(64);
    run.repeat = 1;
    if (program.type == ProgType::syscall) run.repeat = 0;
    const auto result = kernel.prog_test_run(program.handle.fd(), run);
    ASSERT_TRUE(result.has_value()) << program.name << ": " << result.error().what;
    EXPECT_EQ(result->retval, 0u) << program.name << " in " << name << ".bpf.c";
  }
}

/// Where that is allowed, each test has a network namespace to itself: some programs leave things in it.
struct KernelFunctions : ::testing::TestWithParam<const char*> {
  void SetUp() override { (void)::unshare(CLONE_NEWNET); }
};

void run_here(const std::string& name, bool no_jit) {
  {
    runtime::Config config;
    config.no_jit = no_jit;
    const auto kernel = runtime::UserKernel::create(config);
    ASSERT_TRUE(kernel.has_value());
    run_all(**kernel, name);
  }
  rcu::barrier();
  EXPECT_EQ(maps::live_objects(), 0u) << "objects that nobody owns";
}

TEST_P(KernelFunctions, RunAsMachineCode) { run_here(GetParam(), false); }
TEST_P(KernelFunctions, RunInterpreted) { run_here(GetParam(), true); }
TEST_P(KernelFunctions, RunOnLinux) {
  client::LinuxKernel kernel;
  if (auto map =
          kernel.map_create({.type = MapType::array, .key_size = 4, .value_size = 4, .max_entries = 1});
      !map)
    GTEST_SKIP() << "bpf(2) is refused here: " << map.error().what;
  run_all(kernel, GetParam());
}

/// What `dump xlated` shows is the same but for addresses.
TEST_P(KernelFunctions, AreShownAsLinuxShowsThem) {
  client::LinuxKernel linux;
  if (auto map = linux.map_create({.type = MapType::array, .key_size = 4, .value_size = 4, .max_entries = 1});
      !map)
    GTEST_SKIP() << "bpf(2) is refused here: " << map.error().what;
  const auto here = runtime::UserKernel::create({});
  ASSERT_TRUE(here.has_value());
  const auto theirs = loader::load(object(GetParam()), linux),
             ours = loader::load(object(GetParam()), **here);
  ASSERT_TRUE(theirs.has_value() && ours.has_value());
  for (std::size_t p = 0; p < ours->programs.size(); ++p) {
    const auto want = linux.prog_info(theirs->programs[p].handle.fd())->xlated;
    const auto got = (*here)->prog_info(ours->programs[p].handle.fd())->xlated;
    ASSERT_EQ(got.size(), want.size()) << ours->programs[p].name;
    for (std::size_t i = 0; i < got.size(); ++i) {
      // `rD = cpu_number; rD = &(void __percpu *)(rD)`: where the variable stands is another place in each
      // build.
      const bool percpu = i + 1 < want.size() && want[i + 1].code == 0xbf && want[i + 1].off == -1;
      const bool address = isa::is_ld_imm64(want[i]) || (want[i].code == 0x85 && want[i].src != 1) || percpu;
      EXPECT_EQ(got[i].code, want[i].code) << ours->programs[p].name << " " << i;
      EXPECT_EQ(+got[i].dst, +want[i].dst) << ours->programs[p].name << " " << i;
      EXPECT_EQ(+got[i].src, +want[i].src) << ours->programs[p].name << " " << i;
      if (!address) {
        EXPECT_EQ(got[i].imm, want[i].imm) << ours->programs[p].name << " " << i;
      }
      if (isa::is_ld_imm64(want[i])) ++i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objects, KernelFunctions,
                         ::testing::Values("sections", "lists", "trees", "exceptions", "timers", "locks",
                                           "connections", "fields", "faults", "crypto", "strings", "cpumasks",
                                           "memory", "netfilter", "cgroups"),
                         [](const auto& object) { return std::string(object.param); });

}  // namespace
}  // namespace skep
