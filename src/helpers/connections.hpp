// The host's connection tracking as programs use it: asked and told over ctnetlink (which wants
// CAP_NET_ADMIN), in the network namespace of the calling thread. Inside the room.
#pragma once
#include <optional>

#include "progs/nf_conn.hpp"

namespace skep::helpers {

/// Which table entries a connection may be found among (struct nf_conntrack_zone).
struct ConnectionZone {
  u16 id = 0;
  u8 dir = both_directions;
  static constexpr u8 both_directions = 3;
};

/// Another source or destination for a connection that is yet to be inserted.
struct ConnectionNat {
  std::array<u32, 4> address{};
  u16 port = 0;  ///< host order; 0: the same
};

/// Fills `found` with the connection of which `tuple` is a direction; its timeout in ms from now goes to
/// `remaining_ms`. An errno, ENOENT if there is none; 0: found, and `tuple.direction` says which direction.
[[nodiscard]] int find_connection(progs::NfTuple& tuple, ConnectionZone zone, progs::NfConn& found,
                                  u64& remaining_ms);

/// Puts it into the table, with the directions, status, mark and zone that it has. An errno: EEXIST, ...
[[nodiscard]] int insert_connection(const progs::NfConn& connection, u64 timeout_ms,
                                    const std::optional<ConnectionNat>& source,
                                    const std::optional<ConnectionNat>& destination);

struct ConnectionChange {
  std::optional<u64> timeout_ms;
  std::optional<u32> status, mark;
};
/// Changes one that is in the table. An errno.
[[nodiscard]] int change_connection(const progs::NfConn& connection, const ConnectionChange& change);

}  // namespace skep::helpers
