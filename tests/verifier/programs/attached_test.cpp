// Programs on hooks of security modules and on kernel functions (hooks.bpf.c), and programs for the functions
// of another program (extensions.bpf.c for target.bpf.c). The running kernel cannot be asked (many are built
// without), so what is expected is the rule of Linux 6.18 that each program is named for: errno, and what the
// log's last lines hold.
#include <gtest/gtest.h>

#include "base/fd.hpp"
#include "btf/carried.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::verifier {
namespace {

struct Expected {
  std::string_view program;
  int code = 0;
  std::string_view words{};
};

constexpr Expected hooks[] = {
    {"result_so_far"},
    {"returns_one", EINVAL, "R0 has smin=1 smax=1 should have been in [-4095, 0]"},
    {"returns_lowest_errno"},
    {"returns_below_errno", EINVAL, "should have been in [-4095, 0]"},
    {"returns_anything", EINVAL, "should have been in [-4095, 0]"},
    {"bool_returns_one"},
    {"bool_returns_error", EINVAL, "should have been in [0, 1]"},
    {"void_returns_anything"},
    {"disabled_hook", EINVAL, "points to disabled hook bpf_lsm_getprocattr"},
    {"sleeps"},
    {"sleeps_where_it_must_not", EINVAL, "bpf_lsm_task_kill is not sleepable"},
    {"second_argument", EACCES, "func 'bpf_lsm_file_open' doesn't have 3-th argument"},
    {"writes_context", EACCES, "invalid bpf_context access off=0 size=8"},
    {"writes_file", EACCES, "only read is supported"},
    {"cookie"},
    {"options_of_no_socket", EINVAL, "program of this type cannot use helper bpf_setsockopt#49"},
    {"cgroup_returns_one"},
    {"cgroup_returns_error", EINVAL, "should have been in [0, 1]"},
    {"cgroup_options", EACCES, "R1 is of type socket but sock_common is expected"},
    {"cgroup_options_elsewhere", EINVAL, "program of this type cannot use helper bpf_setsockopt#49"},
    {"cgroup_void_returns_zero", EINVAL, "can't modify return value!"},
    {"cgroup_void_returns_one"},
    {"cgroup_cookie", EINVAL, "program of this type cannot use helper bpf_get_attach_cookie#174"},
    {"modifies"},
    {"modifies_what_it_must_not", EINVAL, "bpf_iter_task() is not modifiable"},
    {"sleeps_where_nobody_may", EINVAL, "bpf_iter_task is not sleepable"},
    {"exit_returns_one", EINVAL, "should have been in [0, 0]"},
};

constexpr Expected extensions[] = {
    {"same"},
    {"reads_like_a_filter", EACCES, "invalid bpf_context access off=60 size=4"},
    {"uses_xdp_helper_quietly"},
    {"uses_anothers_helper", EINVAL, "program of this type cannot use helper bpf_skb_pull_data#39"},
    {"moves", EINVAL, "Extension program changes packet data, while original does not"},
    {"moves_as_well"},
    {"numbers"},
    {"too_few", EINVAL, "too_few() has 1 args while of_numbers() has 2 args"},
    {"another_size", EINVAL, "arg0 in another_size() has size 8 while of_numbers() has 4"},
    {"not_a_number", EINVAL, "arg0 in not_a_number() is PTR while of_numbers() has INT"},
    {"another_struct", EINVAL,
     "arg0 another_struct(struct __sk_buff *) doesn't match of_context(struct xdp_md *)"},
    {"a_static_function", EINVAL, "Cannot replace static functions"},
    {"the_program_itself"},
    {"before"},
    {"after"},
    {"beyond", EACCES, "func 'of_context' doesn't have 3-th argument"},
    {"after_numbers"},
    {"five_numbers"},
    {"six_numbers", EACCES, "func 'of_pointer' doesn't have 6-th argument"},
    {"returns_one", EINVAL, "should have been in [0, 0]"},
};

loader::ObjectSpec read(const std::string& name) {
  const Result<std::string> text = read_file(std::string(SKEP_VERIFIER_OBJECTS) + "/" + name);
  EXPECT_TRUE(text.has_value()) << name;
  auto spec = loader::read_object(bytes_of(text.value_or("")), name, nullptr);
  EXPECT_TRUE(spec.has_value()) << name << ": " << spec.error().what;
  return spec ? std::move(*spec) : loader::ObjectSpec();
}

class Attached : public testing::Test {
 protected:
  Attached() : types(btf::carried_kernel_btf) {
    environment.kernel_btf = types.types();
    runtime::Config config;
    config.verify_only = true;
    config.kernel_btf = &types;
    auto made = runtime::UserKernel::create(config);
    EXPECT_TRUE(made.has_value());
    kernel = *std::move(made);
  }

  Result<loader::LoadedObject> load(const loader::ObjectSpec& spec, u32 index, std::string& log) {
    options.only_program = index;
    options.log_level = 1;
    options.environment = environment;
    options.on_attempt = [&](const loader::Attempt& attempt) { log = attempt.log; };
    return loader::load(spec, *kernel, options);
  }

  void compare(const loader::ObjectSpec& spec, std::span<const Expected> expected) {
    ASSERT_EQ(spec.programs.size(), expected.size());
    for (const Expected& want : expected) {
      const auto named = std::ranges::find(spec.programs, want.program, &loader::ProgramDef::name);
      ASSERT_NE(named, spec.programs.end()) << want.program;
      std::string log;
      const auto loaded = load(spec, static_cast<u32>(named - spec.programs.begin()), log);
      EXPECT_EQ(loaded ? 0 : loaded.error().code, want.code) << want.program << '\n' << log;
      EXPECT_NE(log.find(want.words), std::string::npos) << want.program << '\n' << log;
    }
  }

  const btf::KernelBtf types;
  loader::Environment environment;
  loader::LoadOptions options;
  std::shared_ptr<Kernel> kernel;
};

TEST_F(Attached, HooksOfSecurityModules) { compare(read("hooks.bpf.o"), hooks); }

TEST_F(Attached, FunctionsOfAnotherProgram) {
  const loader::ObjectSpec target = read("target.bpf.o");
  std::string log;
  const auto loaded = load(target, 0, log);
  ASSERT_TRUE(loaded.has_value()) << log;
  options.attach_program = loaded->programs.front().handle.fd();
  options.attach_btf = &*target.btf;
  compare(read("extensions.bpf.o"), extensions);
}

/// Without the program that it is for, an extension is for the kernel's own functions, which stay.
TEST_F(Attached, ExtensionsAreForPrograms) {
  std::string log;
  const auto refused = load(read("extensions.bpf.o"), 0, log);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ENOTSUP);
}

}  // namespace
}  // namespace skep::verifier
