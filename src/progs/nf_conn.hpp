// A tracked connection as programs read it: struct nf_conn with the fields that skep knows, at the kernel's
// offsets (Linux 6.18, x86-64).
#pragma once
#include <array>
#include <cstddef>

#include "base/types.hpp"

namespace skep::progs {

/// struct nf_conntrack_tuple: one direction of a connection. Addresses and ports in network order.
struct NfTuple {
  std::array<u32, 4> source{};
  u16 source_port = 0;
  u16 family = 0;
  std::array<u32, 4> destination{};
  u16 destination_port = 0;
  u8 protocol = 0;
  u8 direction = 0;  ///< 0: as it began; 1: the reply
  bool operator==(const NfTuple&) const = default;
};
static_assert(sizeof(NfTuple) == 40);

struct NfTupleHash {
  u64 chain[2] = {};  ///< the kernel's table; 0 here
  NfTuple tuple{};
};

struct NfConn {
  u32 use = 1;
  u32 lock = 0;
  u32 timeout = 0;  ///< in jiffies, when it ends
  u16 zone_id = 0;
  u8 zone_flags = 0;
  u8 zone_dir = 3;
  std::array<NfTupleHash, 2> tuplehash{};
  u64 status = 0;  ///< IPS_*
  u8 before_mark[32] = {};
  u32 mark = 0;
  u32 secmark = 0;
  u8 rest[72] = {};
};
static_assert(offsetof(NfConn, timeout) == 8 && offsetof(NfConn, tuplehash) == 16);
static_assert(offsetof(NfConn, status) == 128 && offsetof(NfConn, mark) == 168 && sizeof(NfConn) == 248);

}  // namespace skep::progs
