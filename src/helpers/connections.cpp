// See connections.hpp. Messages are those of linux/netfilter/nfnetlink_conntrack.h; numbers in network order.
#include "helpers/connections.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "helpers/netlink_question.hpp"

namespace skep::helpers {
namespace {

using progs::NfConn;
using progs::NfTuple;
using Request = Question<nfgenmsg>;

constexpr u16 message(u16 type) { return static_cast<u16>(NFNL_SUBSYS_CTNETLINK << 8 | type); }
nfgenmsg body_for(const NfTuple& tuple) {
  return {.nfgen_family = static_cast<u8>(tuple.family), .version = NFNETLINK_V0, .res_id = 0};
}

void put_addresses(Request& request, const NfTuple& tuple) {
  const bool ipv6 = tuple.family == AF_INET6;
  request.nest(CTA_TUPLE_IP, [&] {
    const std::size_t size = ipv6 ? 16 : 4;
    request.put(ipv6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, tuple.source.data(), size);
    request.put(ipv6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, tuple.destination.data(), size);
  });
  request.nest(CTA_TUPLE_PROTO, [&] {
    request.put_number(CTA_PROTO_NUM, tuple.protocol);
    request.put_number(CTA_PROTO_SRC_PORT, tuple.source_port);
    request.put_number(CTA_PROTO_DST_PORT, tuple.destination_port);
  });
}

/// One direction, with the zone if that is of this direction alone.
void put_tuple(Request& request, u16 type, const NfTuple& tuple, ConnectionZone zone) {
  const u8 direction = type == CTA_TUPLE_REPLY ? 2 : 1;
  request.nest(type, [&] {
    put_addresses(request, tuple);
    if (zone.id != 0 && zone.dir == direction)
      request.put_number(CTA_TUPLE_ZONE, u16{__builtin_bswap16(zone.id)});
  });
}
void put_zone(Request& request, ConnectionZone zone) {
  if (zone.id != 0 && zone.dir == ConnectionZone::both_directions)
    request.put_number(CTA_ZONE, u16{__builtin_bswap16(zone.id)});
}
void put_word(Request& request, u16 type, u32 value) {
  request.put_number(type, u32{__builtin_bswap32(value)});
}
/// ctnetlink counts seconds.
void put_timeout(Request& request, u64 ms) {
  put_word(request, CTA_TIMEOUT, static_cast<u32>(std::min<u64>((ms + 999) / 1000, UINT32_MAX)));
}
void put_nat(Request& request, u16 type, const NfTuple& tuple, const std::optional<ConnectionNat>& nat) {
  if (!nat) return;
  const bool ipv6 = tuple.family == AF_INET6;
  request.nest(type, [&] {
    request.put(ipv6 ? CTA_NAT_V6_MINIP : CTA_NAT_V4_MINIP, nat->address.data(), ipv6 ? 16 : 4);
    if (nat->port == 0) return;
    request.nest(CTA_NAT_PROTO, [&] {
      const u16 port = __builtin_bswap16(nat->port);
      request.put_number(CTA_PROTONAT_PORT_MIN, port);
      request.put_number(CTA_PROTONAT_PORT_MAX, port);
    });
  });
}

NfTuple read_tuple(ByteView bytes, u8 direction) {
  NfTuple tuple;
  tuple.direction = direction;
  attributes(bytes, [&](u16 type, ByteView part) {
    if (type == CTA_TUPLE_IP)
      attributes(part, [&](u16 which, ByteView address) {
        const bool source = which == CTA_IP_V4_SRC || which == CTA_IP_V6_SRC;
        tuple.family = which == CTA_IP_V4_SRC || which == CTA_IP_V4_DST ? AF_INET : AF_INET6;
        copy_address(address, source ? tuple.source : tuple.destination);
      });
    if (type != CTA_TUPLE_PROTO) return;
    attributes(part, [&](u16 which, ByteView number) {
      if (which == CTA_PROTO_NUM) tuple.protocol = attribute_number<u8>(number);
      if (which == CTA_PROTO_SRC_PORT) tuple.source_port = attribute_number<u16>(number);
      if (which == CTA_PROTO_DST_PORT) tuple.destination_port = attribute_number<u16>(number);
    });
  });
  return tuple;
}

/// The same addresses and ports, in the same places.
bool same_flow(NfTuple a, NfTuple b) {
  a.direction = b.direction = 0;
  return a == b;
}

}  // namespace

int find_connection(NfTuple& tuple, ConnectionZone zone, NfConn& found, u64& remaining_ms) {
  Request request(message(IPCTNL_MSG_CT_GET), body_for(tuple));
  put_tuple(request, zone.dir == 2 ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG, tuple, zone);
  put_zone(request, zone);
  const ByteView answer = request.ask(NETLINK_NETFILTER);
  if (answer.size() < sizeof(nfgenmsg)) return request.error() != 0 ? request.error() : ENOENT;
  found.zone_id = zone.id;
  found.zone_dir = zone.dir;
  attributes(answer.subspan(NLMSG_ALIGN(sizeof(nfgenmsg))), [&](u16 type, ByteView bytes) {
    const u32 number = __builtin_bswap32(word(bytes));
    switch (type) {
      case CTA_TUPLE_ORIG:
        found.tuplehash[0].tuple = read_tuple(bytes, 0);
        break;
      case CTA_TUPLE_REPLY:
        found.tuplehash[1].tuple = read_tuple(bytes, 1);
        break;
      case CTA_STATUS:
        found.status = number;
        break;
      case CTA_TIMEOUT:
        remaining_ms = u64{number} * 1000;
        break;
      case CTA_MARK:
        found.mark = number;
        break;
      default:
        break;
    }
  });
  tuple.direction = same_flow(tuple, found.tuplehash[0].tuple) ? 0 : 1;
  return 0;
}

int insert_connection(const NfConn& connection, u64 timeout_ms, const std::optional<ConnectionNat>& source,
                      const std::optional<ConnectionNat>& destination) {
  const NfTuple& original = connection.tuplehash[0].tuple;
  const ConnectionZone zone{connection.zone_id, connection.zone_dir};
  Request request(message(IPCTNL_MSG_CT_NEW), body_for(original), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  put_tuple(request, CTA_TUPLE_ORIG, original, zone);
  put_tuple(request, CTA_TUPLE_REPLY, connection.tuplehash[1].tuple, zone);
  put_zone(request, zone);
  put_timeout(request, timeout_ms);
  put_word(request, CTA_STATUS, static_cast<u32>(connection.status));
  if (connection.mark != 0) put_word(request, CTA_MARK, connection.mark);
  put_nat(request, CTA_NAT_SRC, original, source);
  put_nat(request, CTA_NAT_DST, original, destination);
  (void)request.ask(NETLINK_NETFILTER);
  return request.error();
}

int change_connection(const NfConn& connection, const ConnectionChange& change) {
  const NfTuple& original = connection.tuplehash[0].tuple;
  const ConnectionZone zone{connection.zone_id, connection.zone_dir};
  Request request(message(IPCTNL_MSG_CT_NEW), body_for(original), NLM_F_ACK);
  put_tuple(request, CTA_TUPLE_ORIG, original, zone);
  put_zone(request, zone);
  if (change.timeout_ms) put_timeout(request, *change.timeout_ms);
  if (change.status) put_word(request, CTA_STATUS, *change.status);
  if (change.mark) put_word(request, CTA_MARK, *change.mark);
  (void)request.ask(NETLINK_NETFILTER);
  return request.error();
}

}  // namespace skep::helpers
