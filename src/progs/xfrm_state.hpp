// A security association (IPsec) as programs read it: struct xfrm_state with the fields that skep knows.
// Where they stand is skep's own; kernel_fields.hpp names them.
#pragma once
#include <array>
#include <cstddef>

#include "base/types.hpp"

namespace skep::progs {

/// struct xfrm_replay_state_esn, without its bitmap.
struct XfrmReplayEsn {
  u32 bmp_len = 0;
  u32 oseq = 0;
  u32 seq = 0;
  u32 oseq_hi = 0;
  u32 seq_hi = 0;
  u32 replay_window = 0;
};

struct XfrmState {
  std::array<u32, 4> daddr{};
  u32 spi = 0;
  u8 proto = 0;
  u8 mode = 0;
  u8 replay_window = 0;
  u8 flags = 0;
  std::array<u32, 4> saddr{};
  u32 reqid = 0;
  u16 family = 0;
  u16 unused = 0;
  u32 mark_value = 0;
  u32 mark_mask = 0;
  u32 if_id = 0;
  u32 oseq = 0;  ///< struct xfrm_replay_state
  u32 seq = 0;
  u32 bitmap = 0;
  std::array<u64, 4> curlft{};  ///< bytes, packets, when added, when first used
  std::array<u32, 3> stats{};
  XfrmReplayEsn* replay_esn = nullptr;
};

}  // namespace skep::progs
