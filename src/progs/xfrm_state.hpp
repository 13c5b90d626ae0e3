// An IPsec security association as programs read it: struct xfrm_state with the fields that skep knows. Where
// the kernel has them stands in kernel_fields.hpp.
#pragma once
#include <array>

#include "base/types.hpp"

namespace skep::progs {

/// struct xfrm_replay_state_esn; the same to the kernel and to users (UAPI). The bitmap follows.
struct XfrmReplayEsn {
  u32 bmp_len = 0;
  u32 oseq = 0;
  u32 seq = 0;
  u32 oseq_hi = 0;
  u32 seq_hi = 0;
  u32 replay_window = 0;
};

struct XfrmState {
  std::array<u32, 4> daddr{};  ///< network order; IPv4 in the first word
  std::array<u32, 4> saddr{};
  u32 spi = 0;  ///< network order
  u32 mark_value = 0, mark_mask = 0;
  u32 if_id = 0;
  u32 reqid = 0;
  u16 family = 0;
  u8 protocol = 0;
  u8 mode = 0;
  u8 replay_window = 0;
  XfrmReplayEsn* replay_esn = nullptr;  ///< nullptr: no extended sequence numbers, or `esn`
  XfrmReplayEsn esn{};
};

}  // namespace skep::progs
