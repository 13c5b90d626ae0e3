// ringbuf and user_ringbuf: records in a ring that one side writes and the other reads through shared memory
// (kernel/bpf/ringbuf.c; the layout is what libbpf's ring_buffer__new() and user_ring_buffer__new() map):
//
//   Ring (our own page) | consumer position | producer position | data | the data's length again
//
// Where the kernel maps the data twice, records here run on into the second half: a header always stands in
// the first, so a reader that goes on linearly sees the same bytes. Positions and, in a user_ringbuf, the
// headers are written by the other side: they are taken as hostile.
#pragma once
#include <sys/eventfd.h>

#include <atomic>

#include "maps/map.hpp"
#include "maps/spin.hpp"
#include "maps/writer_gate.hpp"

namespace skep::maps {

inline constexpr u64 ringbuf_page = 4096;

class RingbufMap;

/// The first page of a ring's memory; not shared.
struct Ring {
  RingbufMap* map = nullptr;
  u64 mask = 0;
  int wake = -1;                 ///< eventfd
  std::atomic<u32> draining{0};  ///< user_ringbuf: one program at a time
  alignas(64) SpinLock lock;     ///< of who reserves, where several do
  u64 pending = 0;               ///< where the oldest record that is not committed stands; under the lock

  std::byte* base() { return reinterpret_cast<std::byte*>(this); }
  std::atomic<u64>& consumer() { return *reinterpret_cast<std::atomic<u64>*>(base() + ringbuf_page); }
  std::atomic<u64>& producer() { return *reinterpret_cast<std::atomic<u64>*>(base() + 2 * ringbuf_page); }
  std::byte* data() { return base() + 3 * ringbuf_page; }
  std::atomic<u32>& header(u64 position) {
    return *reinterpret_cast<std::atomic<u32>*>(data() + (position & mask));
  }

  static constexpr u32 busy = 1u << 31, discarded = 1u << 30, header_size = 8;
};

class RingbufMap final : public Map {
 public:
  static Result<MapRef> make(const MapSpec& spec, const Environment& environment);
  ~RingbufMap() override;

  /// Room for a record, or nullptr when the ring is full or the size not possible.
  std::byte* reserve(u64 size) noexcept;
  /// Ends a reservation of any ring: the flags are BPF_RB_*.
  static void commit(std::byte* record, u64 flags, bool discard) noexcept;
  /// 0, EINVAL for flags, EAGAIN when full.
  int output(const std::byte* data, u64 size, u64 flags) noexcept;
  /// bpf_ringbuf_query(): BPF_RB_AVAIL_DATA, _RING_SIZE, _CONS_POS, _PROD_POS; 0 for others.
  [[nodiscard]] u64 query(u64 what) noexcept;

  /// user_ringbuf: calls visit(argument, record, size) for each record until it returns non-zero; returns how
  /// many, or EBUSY, EINVAL, E2BIG (bpf_user_ringbuf_drain()).
  using VisitRecord = u64 (*)(void* argument, std::byte* record, u32 size);
  s64 drain(VisitRecord visit, void* argument, u64 flags) noexcept;

  Result<MapMemory> memory() override;
  [[nodiscard]] u64 memlock() const override;

  static constexpr u64 no_wakeup = 1, force_wakeup = 2;

 private:
  RingbufMap(const MapSpec& spec, Mapping memory, UniqueFd consumer, UniqueFd data, UniqueFd wake);
  Ring& ring() const { return *reinterpret_cast<Ring*>(memory_.data()); }
  static std::byte* place(Ring& r, u64 size, u64 length) noexcept;
  static void wake(Ring& ring) noexcept;
  s64 next_record(u32& size) noexcept;

  Mapping memory_;
  UniqueFd consumer_, data_, wake_;
  WriterGate writers_;
};

}  // namespace skep::maps
