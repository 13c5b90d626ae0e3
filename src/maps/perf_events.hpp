// perf_event_array: bpf_perf_event_output() to one reader of ours, where the kernel has a perf event in each
// slot. The reader gets datagrams: a PerfEvent
// (kernel/kernel.hpp), then its bytes.
#pragma once
#include "maps/map.hpp"

namespace skep::maps {

class PerfEventArray final : public Map {
 public:
  explicit PerfEventArray(const MapSpec& spec) : Map(spec) {}
  ~PerfEventArray() override;

  /// bpf_perf_event_output(): `index` is the slot, or current_cpu. 0; E2BIG past the end; ENOENT when nobody
  /// reads; ENOSPC when the reader is too slow.
  int output(u32 index, u32 cpu, ByteView first, ByteView second) noexcept;
  static constexpr u32 current_cpu = UINT32_MAX;

  Result<UniqueFd> events() override;
  int remove(const std::byte*) noexcept override { return -EOPNOTSUPP; }
  [[nodiscard]] u64 memlock() const override { return array_values_offset + 8 * u64{facts_.max_entries}; }

 protected:
  int copy_in(const std::byte*, const std::byte*, u64) noexcept override { return -EOPNOTSUPP; }
  int next_key(const std::byte* key, std::byte* next) noexcept override;

 private:
  struct Reader {
    UniqueFd fd;
    std::atomic<u64> lost{0};
  };
  std::atomic<Reader*> reader_{nullptr};
};

}  // namespace skep::maps
