// Per-CPU memory: one reserved range of addresses, cut into equal areas, one a CPU. What stands at address A
// for CPU 0 stands at A + n * stride() for CPU n, for every allocation of the same PercpuArea: rewritten code
// (`mov off=-1`, the kernel's BPF_ADDR_PERCPU) adds RunContext::percpu_offset to CPU 0's address and is done.
#pragma once
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::maps {

class PercpuArea {
 public:
  /// Reserves addresses for `cpus` areas of `stride` bytes (a multiple of the page size). Memory is taken
  /// from the system only as allocations are touched.
  static Result<std::unique_ptr<PercpuArea>> create(u32 cpus, u64 stride = default_stride);

  [[nodiscard]] u32 cpus() const { return cpus_; }
  [[nodiscard]] u64 stride() const { return stride_; }
  /// What RunContext::percpu_offset must be on that CPU.
  [[nodiscard]] u64 offset_of(u32 cpu) const { return u64{cpu} * stride_; }

  /// `size` zeroed bytes for each CPU, 8-aligned; returns CPU 0's. ENOMEM when the area is used up.
  [[nodiscard]] Result<std::byte*> allocate(u64 size);
  /// Gives back what allocate(size) returned.
  void release(std::byte* address, u64 size) noexcept;

  static constexpr u64 default_stride = u64{4} << 30;

 private:
  PercpuArea(Mapping mapping, u32 cpus, u64 stride)
      : mapping_(std::move(mapping)), cpus_(cpus), stride_(stride) {}
  Result<void> commit(u64 end);

  Mapping mapping_;
  u32 cpus_;
  u64 stride_;
  std::mutex mutex_;
  std::map<u64, u64> free_;  ///< offset -> bytes, coalesced; below used_
  u64 used_ = 0;             ///< offsets at and above were never handed out
  u64 committed_ = 0;        ///< offsets below are readable and writable in every area
};

}  // namespace skep::maps
