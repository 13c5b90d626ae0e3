// Kernel functions on tracked connections (kernel: net/netfilter/nf_conntrack_bpf.c, nf_nat_bpf.c). The
// connections are the host's. A program has a copy of one: what it reads is how it was when it was looked up,
// or what it changed since; a mark that it stores reaches the table when it lets go of the connection.
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>

#include <cerrno>
#include <new>

#include "helpers/clock.hpp"
#include "helpers/connections.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

using progs::NfConn;
using progs::NfTuple;

/// What a program's pointer to a connection leads to; `conn` stands first.
struct Connection {
  NfConn conn{};
  bool in_table = false;
  u32 mark_in_table = 0;
  u64 timeout_ms = 10'000;  ///< of one that is not in the table yet
  std::optional<ConnectionNat> source, destination;
};
Connection& connection_of(u64 value) { return *pointer<Connection>(value); }

/// struct bpf_ct_opts; before Linux 6.10 it ended before ct_zone_dir, with the zone's id reserved.
struct Options {
  s32 netns_id;
  s32 error;
  u8 protocol;
  u8 direction;
  u16 zone_id;
  u8 zone_dir;
  std::array<u8, 3> reserved;
};
static_assert(sizeof(Options) == 16);
constexpr u32 old_options_size = 12;

/// __bpf_nf_ct_alloc_entry()'s and __bpf_nf_ct_lookup()'s rules about their options.
int check_options(u64 tuple, const Options* options, u32 size) {
  constexpr s32 current_netns = -1;
  if (options == nullptr || tuple == 0) return EINVAL;
  if (size != sizeof(Options) && size != old_options_size) return EINVAL;
  if (size == old_options_size && options->zone_id != 0) return EINVAL;
  if (size == sizeof(Options) && options->reserved != std::array<u8, 3>{}) return EINVAL;
  return options->netns_id < current_netns ? EINVAL : 0;
}

/// struct bpf_sock_tuple, which has the size of its family.
int parse_tuple(u64 from, u32 size, u8 protocol, NfTuple& tuple) {
  constexpr u32 ip4_size = 12, ip6_size = 36;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return EPROTO;
  if (size != ip4_size && size != ip6_size) return EAFNOSUPPORT;
  const auto* bytes = pointer<const std::byte>(from);
  const u32 address = size == ip4_size ? 4 : 16;
  tuple.family = size == ip4_size ? AF_INET : AF_INET6;
  tuple.protocol = protocol;
  std::memcpy(tuple.source.data(), bytes, address);
  std::memcpy(tuple.destination.data(), bytes + address, address);
  tuple.source_port = load<u16>(bytes + 2 * address);
  tuple.destination_port = load<u16>(bytes + 2 * address + 2);
  return 0;
}
NfTuple reply_of(const NfTuple& tuple) {
  NfTuple reply = tuple;
  std::swap(reply.source, reply.destination);
  std::swap(reply.source_port, reply.destination_port);
  reply.direction = 1;
  return reply;
}

/// Another network namespace is out of reach, as one that does not exist.
int check_namespace(const Options& options) { return options.netns_id >= 0 ? ENONET : 0; }
ConnectionZone zone_of(Options& options, u32 size) {
  if (size == old_options_size) return {};
  if (options.zone_dir == 0) options.zone_dir = ConnectionZone::both_directions;
  return {options.zone_id, options.zone_dir};
}

u32 ends_in(u64 ms) { return static_cast<u32>(jiffies_now() + ms_to_jiffies(ms)); }

int look_up(u64 from, u32 tuple_size, Options* options, u32 options_size, Connection& found) {
  if (const int bad = check_options(from, options, options_size); bad != 0) return bad;
  NfTuple tuple;
  if (const int bad = parse_tuple(from, tuple_size, options->protocol, tuple); bad != 0) return bad;
  if (const int bad = check_namespace(*options); bad != 0) return bad;
  u64 remaining_ms = 0;
  const int missed = find_connection(tuple, zone_of(*options, options_size), found.conn, remaining_ms);
  if (missed != 0) return missed;
  options->direction = tuple.direction;
  found.conn.timeout = ends_in(remaining_ms);
  found.mark_in_table = found.conn.mark;
  found.in_table = true;
  return 0;
}

int allocate(u64 from, u32 tuple_size, Options* options, u32 options_size, Connection& made) {
  if (const int bad = check_options(from, options, options_size); bad != 0) return bad;
  NfTuple tuple;
  if (const int bad = parse_tuple(from, tuple_size, options->protocol, tuple); bad != 0) return bad;
  if (const int bad = check_namespace(*options); bad != 0) return bad;
  const ConnectionZone zone = zone_of(*options, options_size);
  made.conn.zone_id = zone.id;
  made.conn.zone_dir = zone.dir;
  made.conn.tuplehash[0].tuple = tuple;
  made.conn.tuplehash[1].tuple = reply_of(tuple);
  made.conn.timeout = static_cast<u32>(ms_to_jiffies(made.timeout_ms));
  return 0;
}

using Make = int (*)(u64, u32, Options*, u32, Connection&);
/// (context, tuple, its size, options, their size)
template <Make make>
u64 connection(u64, u64 tuple, u64 tuple_size, u64 options64, u64 options_size, RunContext*) {
  auto* made = new (std::nothrow) Connection;
  auto* options = pointer<Options>(options64);
  const int bad = made == nullptr ? ENOMEM
                                  : make(tuple, static_cast<u32>(tuple_size), options,
                                         static_cast<u32>(options_size), *made);
  if (bad == 0) return reinterpret_cast<u64>(made);
  delete made;
  constexpr u32 with_error = 8;
  if (options != nullptr && static_cast<u32>(options_size) >= with_error) options->error = -bad;
  return 0;
}

u64 ct_release(u64 value, u64, u64, u64, u64, RunContext*) {
  if (value == 0) return 0;
  Connection& connection = connection_of(value);
  if (connection.in_table && connection.conn.mark != connection.mark_in_table)
    (void)change_connection(connection.conn, {.timeout_ms = {}, .status = {}, .mark = connection.conn.mark});
  delete &connection;
  return 0;
}

/// The connection that is in the table then, or nullptr; the other reference is gone.
u64 ct_insert_entry(u64 value, u64, u64, u64, u64, RunContext*) {
  Connection& connection = connection_of(value);
  connection.conn.status |= IPS_CONFIRMED;
  int bad =
      insert_connection(connection.conn, connection.timeout_ms, connection.source, connection.destination);
  Connection now;
  if (bad == 0) {
    NfTuple tuple = connection.conn.tuplehash[0].tuple;
    const u8 dir = connection.conn.zone_dir == 2 ? 3 : connection.conn.zone_dir;
    u64 remaining_ms = 0;
    bad = find_connection(tuple, {connection.conn.zone_id, dir}, now.conn, remaining_ms);
  }
  if (bad != 0) {
    delete &connection;
    return 0;
  }
  now.conn.zone_dir = connection.conn.zone_dir;
  now.conn.timeout = ends_in(connection.timeout_ms);
  now.mark_in_table = now.conn.mark;
  now.in_table = true;
  connection = now;
  return value;
}

/// Of one that is not in the table yet.
u64 ct_set_timeout(u64 value, u64 ms, u64, u64, u64, RunContext*) {
  Connection& connection = connection_of(value);
  connection.timeout_ms = static_cast<u32>(ms);
  connection.conn.timeout = static_cast<u32>(ms_to_jiffies(connection.timeout_ms));
  return 0;
}
u64 ct_change_timeout(u64 value, u64 ms, u64, u64, u64, RunContext*) {
  Connection& connection = connection_of(value);
  if ((connection.conn.status & IPS_FIXED_TIMEOUT) != 0) return error_result(EPERM);
  const int bad =
      change_connection(connection.conn, {.timeout_ms = static_cast<u32>(ms), .status = {}, .mark = {}});
  if (bad == ENOENT || (connection.conn.status & IPS_DYING) != 0) return error_result(ETIME);
  if (bad != 0) return error_result(bad);
  connection.conn.timeout = ends_in(static_cast<u32>(ms));
  return 0;
}

/// nf_ct_change_status_common(): what may be set, and never unset.
int change_status(u64& now, u32 status) {
  constexpr u64 kept = IPS_NAT_DONE_MASK | IPS_NAT_MASK | IPS_EXPECTED | IPS_CONFIRMED | IPS_DYING |
                       IPS_SEQ_ADJUST | IPS_TEMPLATE | IPS_UNTRACKED | IPS_OFFLOAD | IPS_HW_OFFLOAD;
  const u64 changed = now ^ status;
  if ((changed & (IPS_EXPECTED | IPS_CONFIRMED | IPS_DYING)) != 0) return EBUSY;
  if ((changed & IPS_SEEN_REPLY) != 0 && (status & IPS_SEEN_REPLY) == 0) return EBUSY;
  if ((changed & IPS_ASSURED) != 0 && (status & IPS_ASSURED) == 0) return EBUSY;
  now |= status & ~kept;
  return 0;
}
u64 ct_set_status(u64 value, u64 status, u64, u64, u64, RunContext*) {
  const int bad = change_status(connection_of(value).conn.status, static_cast<u32>(status));
  return bad != 0 ? error_result(bad) : 0;
}
u64 ct_change_status(u64 value, u64 status, u64, u64, u64, RunContext*) {
  Connection& connection = connection_of(value);
  int bad = change_status(connection.conn.status, static_cast<u32>(status));
  if (bad == 0)
    bad = change_connection(
        connection.conn, {.timeout_ms = {}, .status = static_cast<u32>(connection.conn.status), .mark = {}});
  return bad != 0 ? error_result(bad) : 0;
}

/// (connection, address, port, which): takes effect when the connection is inserted.
u64 ct_set_nat_info(u64 value, u64 address, u64 port64, u64 which, u64, RunContext*) {
  constexpr u64 of_source = 0;
  Connection& connection = connection_of(value);
  const auto port = static_cast<s32>(port64);
  if (port < 0) return error_result(EINVAL);
  ConnectionNat nat{.address = {}, .port = static_cast<u16>(port)};
  std::memcpy(nat.address.data(), pointer<const std::byte>(address), sizeof nat.address);
  auto& place = static_cast<u32>(which) == of_source ? connection.source : connection.destination;
  if (place) return error_result(ENOMEM);
  place = nat;
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_xdp_ct_lookup", connection<look_up>}, {"bpf_skb_ct_lookup", connection<look_up>},
    {"bpf_xdp_ct_alloc", connection<allocate>}, {"bpf_skb_ct_alloc", connection<allocate>},
    {"bpf_ct_insert_entry", ct_insert_entry},   {"bpf_ct_release", ct_release},
    {"bpf_ct_set_timeout", ct_set_timeout},     {"bpf_ct_change_timeout", ct_change_timeout},
    {"bpf_ct_set_status", ct_set_status},       {"bpf_ct_change_status", ct_change_status},
    {"bpf_ct_set_nat_info", ct_set_nat_info},
};

}  // namespace

std::span<const KernelFunctionRow> conntrack_kernel_functions() { return rows; }

void release_connection(void* connection) {
  ct_release(reinterpret_cast<u64>(connection), 0, 0, 0, 0, nullptr);
}

}  // namespace skep::helpers
