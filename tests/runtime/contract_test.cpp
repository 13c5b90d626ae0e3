// The contract of class Kernel, for UserKernel: with a directory and inside one process, compiled and
// interpreted.
#include <cstdlib>

#include "kernel_contract/functions.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::contract {
namespace {

/// A directory that goes with its last user.
std::shared_ptr<std::string> temporary_directory() {
  std::string name = "/tmp/skep-contract-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return nullptr;
  return {new std::string(name), [](std::string* directory) {
            std::filesystem::remove_all(*directory);
            delete directory;
          }};
}

Result<Instance> user_kernel(bool with_directory, bool no_jit) {
  runtime::Config config;
  config.no_jit = no_jit;
  std::shared_ptr<std::string> directory;
  if (with_directory) {
    directory = temporary_directory();
    if (directory == nullptr) return fail(errno, "no temporary directory");
    config.directory = *directory;
  }
  return Instance{directory, TRY(runtime::UserKernel::create(config))};
}

INSTANTIATE_TEST_SUITE_P(User, KernelContract,
                         ::testing::Values(Subject{"user", [] { return user_kernel(true, false); }},
                                           Subject{"interpreted", [] { return user_kernel(false, true); }}),
                         subject_name);
INSTANTIATE_TEST_SUITE_P(User, PacketContract,
                         ::testing::Values(Subject{"user", [] { return user_kernel(true, false); }},
                                           Subject{"interpreted", [] { return user_kernel(false, true); }}),
                         subject_name);
INSTANTIATE_TEST_SUITE_P(User, FunctionContract,
                         ::testing::Values(Subject{"user", [] { return user_kernel(true, false); }},
                                           Subject{"interpreted", [] { return user_kernel(false, true); }}),
                         subject_name);

}  // namespace
}  // namespace skep::contract
