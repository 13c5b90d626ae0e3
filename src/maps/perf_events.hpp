// perf_event_array: perf events in slots, into whose rings bpf_perf_event_output() writes
// (kernel/bpf/arraymap.c, kernel/events/ring_buffer.c). An event is a memfd laid out as perf_event_open(2)'s
// mapping is (linux/perf_event.h, struct perf_event_mmap_page) and a socket that wakes its reader.
#pragma once
#include "maps/map.hpp"

namespace skep::maps {

class PerfEvent;

class PerfEventArray final : public Map {
 public:
  static Result<MapRef> make(const MapSpec& spec, const Environment& environment);
  ~PerfEventArray() override;

  /// bpf_perf_event_output(): `index` is the slot, or current_cpu. 0; E2BIG past the end, and for a record
  /// that perf's 16 bits of length cannot tell; ENOENT for a slot without an event; EOPNOTSUPP when its event
  /// is another CPU's; ENOSPC when the reader is too slow. A reader that has gone is noticed when it would
  /// have to be woken, after at most 64 records: its slot is then empty.
  int output(u32 index, u32 cpu, ByteView first, ByteView second) noexcept;
  static constexpr u32 current_cpu = UINT32_MAX;

  Result<EventRing> events(const EventSpec& spec) override;
  /// fd_array_map_delete_elem(): ENOENT for an empty slot.
  int remove(const std::byte* key) noexcept override;
  [[nodiscard]] u64 memlock() const override { return array_values_offset + 8 * u64{facts_.max_entries}; }

 protected:
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;

 private:
  PerfEventArray(const MapSpec& spec, Mapping memory) : Map(spec), memory_(std::move(memory)) {}
  std::atomic<PerfEvent*>& slot(u32 index) {
    return reinterpret_cast<std::atomic<PerfEvent*>*>(memory_.data())[index];
  }

  Mapping memory_;                 ///< the slots: zero pages as far as they are empty
  std::atomic<bool> used_{false};  ///< there may be events
};

}  // namespace skep::maps
