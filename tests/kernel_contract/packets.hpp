// The contract's part about test runs of packet programs: struct __sk_buff in and out, which packets are
// taken, what programs of each type see of them.
#pragma once
#include "kernel_contract/contract.hpp"

namespace skep::contract {

/// An Ethernet frame with 84 bytes of IPv4 from 10.1.1.1 to 10.1.1.2.
inline std::vector<std::byte> ip4_frame() {
  std::vector<std::byte> frame(98, std::byte{0});
  const auto put = [&](std::size_t at, std::initializer_list<int> bytes) {
    for (const int b : bytes) frame[at++] = static_cast<std::byte>(b);
  };
  put(0, {2, 0xaa, 0xbb, 0xcc, 0, 1, 2, 0xaa, 0xbb, 0xcc, 0, 2, 8, 0, 0x45, 0, 0, 84});
  put(22, {64, 1, 0, 0, 10, 1, 1, 1, 10, 1, 1, 2});
  return frame;
}

/// A program of one call with its context in R1 and constants in R2..R5.
inline std::vector<isa::Insn> one_call(s32 helper, std::vector<s32> numbers) {
  using namespace code;
  std::vector<isa::Insn> insns;
  for (std::size_t i = 0; i < numbers.size(); ++i) insns.push_back(mov(static_cast<u8>(2 + i), numbers[i]));
  insns.push_back(call(helper));
  insns.push_back(exit());
  return insns;
}

class PacketContract : public KernelContract {
 protected:
  Handle load_as(ProgType type, std::vector<isa::Insn> insns) {
    ProgramSpec spec = xdp(std::move(insns));
    spec.type = type;
    return load(spec);
  }
  Result<TestRunResult> run_with(const Handle& prog, std::vector<std::byte> context = {}, u32 flags = 0) {
    TestRunSpec spec;
    spec.data_in = ip4_frame();
    spec.data_out_size = 4096;
    spec.ctx_in = std::move(context);
    spec.ctx_out_size = 192;
    spec.flags = flags;
    return kernel().prog_test_run(prog.fd(), spec);
  }
  /// struct __sk_buff with words set: {offset, value}.
  static std::vector<std::byte> context(std::initializer_list<std::pair<u32, u32>> words,
                                        std::size_t size = 192) {
    std::vector<std::byte> bytes(size);
    for (const auto& [at, value] : words) store<u32>(bytes.data() + at, value);
    return bytes;
  }
};

}  // namespace skep::contract
