// What a lookup costs where nothing is between the loop and the table: an open-addressing table of flows in
// slots of 32 bytes, on huge pages, compiled into the loop. The figure depends on the machine's memory at
// that time only, so it says what the others are to be measured by.
#pragma once
#include <sys/mman.h>

#include "base/bytes.hpp"
#include "base/fd.hpp"
#include "measure.hpp"

namespace skep::bench {

class NativeTable {
 public:
  static constexpr u32 flows = 65536, slots = 2 * flows;

  static Result<NativeTable> create() {
    constexpr u64 huge_page = u64{2} << 20;
    NativeTable table;
    table.memory_ = TRY(Mapping::map(slots * sizeof(Slot) + huge_page, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, "table"));
    const u64 start = reinterpret_cast<u64>(table.memory_.data());
    table.slots_ = reinterpret_cast<Slot*>((start + huge_page - 1) / huge_page * huge_page);
    ::madvise(table.slots_, slots * sizeof(Slot), MADV_HUGEPAGE);
    for (u32 i = 0; i < flows; ++i) {
      const Key key(i);
      u32 at = key.hash();
      while (table.slots_[at].used != 0) at = (at + 1) % slots;
      table.slots_[at] = {key, i, 1};
    }
    return table;
  }
  /// ns a lookup of a random flow, net of the loop without it.
  double time(u32 runs) {
    const double with = timed<true>(runs);
    return with - timed<false>(runs);
  }

 private:
  struct Key {
    u64 a, b;
    explicit Key(u32 i)
        : a(u64{0x0100a8c0} << 32 | __builtin_bswap32(0x0a000000u + i)),
          b(u64{6} << 32 | u64{0x5000} << 16 | __builtin_bswap16(static_cast<u16>(1024 + (i & 0x7fff)))) {}
    [[nodiscard]] u32 hash() const {
      __extension__ using Wide = unsigned __int128;
      const Wide product = static_cast<Wide>(a ^ 0x9e3779b97f4a7c15) * (b ^ 0xa0761d6478bd642f);
      return static_cast<u32>(product ^ product >> 64) % slots;
    }
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    u64 value, used;
  };
  static_assert(sizeof(Slot) == 32);

  template <bool look>
  double timed(u32 runs) {
    const double begin = now_ns();
    for (u32 run = 0; run < runs; ++run) {
      const u32 flow = static_cast<u32>(number_++ * 0x9E3779B1u) >> 16;
      const Key key(flow);
      asm volatile("" : : "r"(&key) : "memory");
      if constexpr (look) {
        u32 at = key.hash();
        while (!(slots_[at].key == key)) at = (at + 1) % slots;
        asm volatile("" : : "r"(slots_[at].value));
      }
    }
    return (now_ns() - begin) / runs;
  }

  Mapping memory_;
  Slot* slots_ = nullptr;
  u64 number_ = 0;
};

}  // namespace skep::bench
