// One suite for every class Kernel: what a caller above the seam may rely on. The behaviour is that of
// Linux 6.18, which the same tests run against where bpf(2) is allowed. The tests are compiled once: a test
// program links skep_kernel_contract, and says of each fixture (KernelContract, PacketContract of
// packets.hpp, FunctionContract of functions.hpp)
//     INSTANTIATE_TEST_SUITE_P(User, KernelContract, ::testing::Values(Subject{"user", make_user_kernel}),
//     subject_name);
// Tests make objects under names and pins of their own and assume nothing about others that exist.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>

#include "kernel/kernel.hpp"

namespace skep::contract {

/// A Kernel with whatever has to live as long (a daemon, a directory).
struct Instance {
  std::shared_ptr<void> keeps_alive;
  std::unique_ptr<Kernel> kernel;
};
struct Subject {
  std::string name;
  /// Fails with the reason to skip where this kernel is not to be had.
  std::function<Result<Instance>()> make;
};
inline std::string subject_name(const ::testing::TestParamInfo<Subject>& subject) {
  return subject.param.name;
}
inline std::ostream& operator<<(std::ostream& out, const Subject& subject) { return out << subject.name; }

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

/// Instructions, as tests write them.
namespace code {
using isa::Insn;
inline Insn make(u8 opcode, u8 dst, u8 src, s16 off, s32 imm) {
  Insn insn;
  insn.code = opcode;
  insn.dst = dst & 15u;
  insn.src = src & 15u;
  insn.off = off;
  insn.imm = imm;
  return insn;
}
inline Insn mov(u8 dst, s32 imm) { return make(0xb7, dst, 0, 0, imm); }
inline Insn mov_reg(u8 dst, u8 src) { return make(0xbf, dst, src, 0, 0); }
inline Insn add(u8 dst, s32 imm) { return make(0x07, dst, 0, 0, imm); }
inline Insn call(s32 helper) { return make(0x85, 0, 0, 0, helper); }
inline Insn exit() { return make(0x95, 0, 0, 0, 0); }
inline Insn load_w(u8 dst, u8 src, s16 off) { return make(0x61, dst, src, off, 0); }
inline Insn load_dw(u8 dst, u8 src, s16 off) { return make(0x79, dst, src, off, 0); }
inline Insn store_dw(u8 dst, s16 off, u8 src) { return make(0x7b, dst, src, off, 0); }
inline Insn store_w_imm(u8 dst, s16 off, s32 imm) { return make(0x62, dst, 0, off, imm); }
inline Insn jeq(u8 dst, s32 imm, s16 off) { return make(0x15, dst, 0, off, imm); }
inline std::array<Insn, 2> map_fd(u8 dst, int fd) { return {make(0x18, dst, 1, 0, fd), Insn{}}; }
inline std::array<Insn, 2> map_value(u8 dst, int fd, s32 off = 0) {
  return {make(0x18, dst, 2, 0, fd), make(0, 0, 0, 0, off)};
}

inline void append(std::vector<Insn>& to, const Insn& insn) { to.push_back(insn); }
inline void append(std::vector<Insn>& to, const std::array<Insn, 2>& pair) {
  to.insert(to.end(), pair.begin(), pair.end());
}
template <class... Parts>
std::vector<Insn> program(const Parts&... parts) {
  std::vector<Insn> insns;
  (append(insns, parts), ...);
  return insns;
}
}  // namespace code

class KernelContract : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    auto made = GetParam().make();
    if (!made) GTEST_SKIP() << made.error().what;
    instance_ = std::move(*made);
  }
  void TearDown() override {
    if (!pins_.empty()) std::filesystem::remove_all(pins_);
  }

  Kernel& kernel() { return *instance_.kernel; }

  static MapSpec map_spec(MapType type, u32 key, u32 value, u32 entries, u32 flags = 0,
                          std::string name = {}) {
    MapSpec spec;
    spec.type = type;
    spec.key_size = key;
    spec.value_size = value;
    spec.max_entries = entries;
    spec.flags = flags;
    spec.name = std::move(name);
    return spec;
  }
  static ProgramSpec xdp(std::vector<isa::Insn> insns, std::string name = "contract") {
    ProgramSpec spec;
    spec.type = ProgType::xdp;
    spec.name = std::move(name);
    spec.insns = std::move(insns);
    spec.license = "GPL";
    return spec;
  }
  Handle map(const MapSpec& spec) {
    auto made = kernel().map_create(spec);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().what);
    return made ? std::move(*made) : Handle();
  }
  Handle load(const ProgramSpec& spec) {
    Log log;
    auto made = kernel().prog_load(spec, {1, 1 << 16}, &log);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().what) << "\n" << log.text;
    return made ? std::move(*made) : Handle();
  }
  Result<TestRunResult> run(const Handle& prog, std::size_t size = 64, u32 out = 4096, u32 repeat = 1) {
    TestRunSpec spec;
    spec.data_in.assign(size, std::byte{0xaa});
    spec.data_out_size = out;
    spec.repeat = repeat;
    return kernel().prog_test_run(prog.fd(), spec);
  }
  /// Whether the object goes; what only a program referred to goes a grace period after it.
  bool gone(ObjectKind kind, u32 id) {
    for (int tries = 0; tries < 100; ++tries, ::usleep(10000))
      if (error_of(kernel().get_fd_by_id(kind, id)) == ENOENT) return true;
    return false;
  }
  /// A directory for pins of this test, or the reason why there is none.
  Result<std::string> pins() {
    if (!pins_.empty()) return pins_;
    const std::string directory = TRY(kernel().pin_directory());
    std::string mine = directory + "/contract_" + std::to_string(::getpid());
    std::error_code error;
    std::filesystem::create_directories(mine, error);
    if (error) return fail(error.value(), mine + ": " + error.message());
    return pins_ = mine;
  }

  Instance instance_;
  std::string pins_;
};

}  // namespace skep::contract
