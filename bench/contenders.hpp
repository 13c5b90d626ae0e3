// Who runs in the engine bench: the same C program as native code, as the kernel's machine code mapped
// into this process, and as skep's engines.
#pragma once
#include <sys/mman.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/kernel.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::bench {

/// One packet below 4 GiB (native programs read 32-bit pointers from their xdp_md), restored before each use.
class TestPacket {
 public:
  /// A TCP packet of `size` bytes with headroom, whose payload is not constant.
  static Result<std::unique_ptr<TestPacket>> create(u32 size = 1500);
  void restore();
  [[nodiscard]] ByteView bytes() const { return {data_, size_}; }

  struct XdpMd {
    u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
  };
  [[nodiscard]] XdpMd* md() const { return md_; }
  [[nodiscard]] progs::XdpBuff* buff() { return &buff_; }

 private:
  TestPacket() = default;
  Mapping memory_;
  std::vector<std::byte> original_;
  std::byte* data_ = nullptr;
  u32 size_ = 0;
  XdpMd* md_ = nullptr;
  progs::NetDevice device_{};
  progs::XdpRxqInfo rxq_{};
  progs::XdpBuff buff_{};
};

/// A shared object's function `prog`.
class NativeProgram {
 public:
  static Result<NativeProgram> open(const std::string& path);
  u64 (*run)(TestPacket::XdpMd*) = nullptr;
};

/// The kernel JIT's bytes of a program without maps and helpers, made to run here: its return thunks become
/// plain returns. ENOTSUP where other addresses of the kernel stand in the code.
class KernelCode {
 public:
  static Result<KernelCode> take(const ProgramInfo& info);
  [[nodiscard]] u64 run(void* buff) const { return entry_(buff); }

 private:
  Mapping code_;
  u64 (*entry_)(void*) = nullptr;
};

}  // namespace skep::bench
