// Scalars that share an id and so learn from each other's comparisons, as they are kept in a history entry:
// at most six, ten bits each (kernel: struct linked_regs).
#pragma once
#include "base/types.hpp"

namespace skep::verifier {

struct LinkedReg {
  u8 frameno = 0;
  u8 index = 0;  ///< register number or stack slot
  bool is_reg = false;
};

struct LinkedRegs {
  static constexpr u32 max = 6;
  u32 count = 0;
  LinkedReg entries[max];

  bool push(LinkedReg entry) {
    if (count == max) return false;
    entries[count++] = entry;
    return true;
  }
  [[nodiscard]] u64 pack() const {
    u64 packed = 0;
    for (u32 i = 0; i < count; ++i) {
      const LinkedReg& r = entries[i];
      packed = packed << 10 | (u64{r.frameno} | u64{r.index} << 3 | u64{r.is_reg} << 9);
    }
    return packed << 4 | count;
  }
  static LinkedRegs unpack(u64 packed) {
    LinkedRegs linked;
    linked.count = static_cast<u32>(packed & 0xf);
    packed >>= 4;
    for (u32 i = 0; i < linked.count; ++i, packed >>= 10) {
      linked.entries[i] = {static_cast<u8>(packed & 7), static_cast<u8>(packed >> 3 & 0x3f),
                           (packed >> 9 & 1) != 0};
    }
    return linked;
  }
};

}  // namespace skep::verifier
