// See nft_guard.hpp. What nft(8) would print for the table of interface eth0 (index 2):
//   table netdev skep-if2 { flags owner
//     chain ingress { type filter hook ingress device "eth0" priority -500; policy drop;
//       meta mark M|0 meta mark set 0 accept
//       meta mark M|1 meta pkttype set broadcast meta mark set 0 accept    ... multicast, otherhost } }
// and for what it sends, into the TAP skep-eg0:
//   table netdev skep-out2 { flags owner
//     chain egress { type filter hook egress device "eth0" priority -500; policy accept;
//       meta mark M meta mark set 0 accept
//       fwd to "skep-eg0" } }
#include "net/nft_guard.hpp"

#include <fmt/format.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>

#include "net/offload.hpp"

namespace skep::net {
namespace {

constexpr const char* kChain = "ingress";
constexpr const char* kEgressChain = "egress";
constexpr u32 kEgressHook = 1;        ///< NF_NETDEV_EGRESS
constexpr s32 kPriority = -500;       // before whatever else hooks netdev ingress
constexpr int kHighDescriptor = 896;  ///< below the usual limit of 1024
/// NFT_TABLE_F_OWNER; Debian 12's headers have it, older ones may not.
constexpr u32 kOwned = 2;

void begin(Request& request, int message, u16 flags) {
  auto& header = request.begin<nfgenmsg>(static_cast<u16>(NFNL_SUBSYS_NFTABLES << 8 | message),
                                         static_cast<u16>(flags | NLM_F_ACK));
  header.nfgen_family = NFPROTO_NETDEV;
  header.version = NFNETLINK_V0;
}

void batch_edge(Request& request, u16 type) {
  auto& header = request.begin<nfgenmsg>(type, 0);
  header.version = NFNETLINK_V0;
  header.res_id = static_cast<u16>(NFNL_SUBSYS_NFTABLES << 8);  // big-endian
}

/// One expression of a rule; `fill` puts its own attributes.
template <class Fill>
void expression(Request& request, const char* name, Fill fill) {
  const Request::Nest element(request, NFTA_LIST_ELEM);
  request.put_string(NFTA_EXPR_NAME, name);
  const Request::Nest data(request, NFTA_EXPR_DATA);
  fill();
}

/// Register 0 = value: the bytes as nftables' registers hold them (a mark is in host order).
void load_immediate(Request& request, u32 value) {
  expression(request, "immediate", [&] {
    request.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG32_00);
    const Request::Nest data(request, NFTA_IMMEDIATE_DATA);
    request.put_u32(NFTA_DATA_VALUE, value);
  });
}

void meta_set(Request& request, u32 key) {
  expression(request, "meta", [&] {
    request.put_be32(NFTA_META_KEY, key);
    request.put_be32(NFTA_META_SREG, NFT_REG32_00);
  });
}

void match_mark(Request& request, u32 mark) {
  expression(request, "meta", [&] {
    request.put_be32(NFTA_META_KEY, NFT_META_MARK);
    request.put_be32(NFTA_META_DREG, NFT_REG32_00);
  });
  expression(request, "cmp", [&] {
    request.put_be32(NFTA_CMP_SREG, NFT_REG32_00);
    request.put_be32(NFTA_CMP_OP, NFT_CMP_EQ);
    const Request::Nest data(request, NFTA_CMP_DATA);
    request.put_u32(NFTA_DATA_VALUE, mark);
  });
}

void accept(Request& request) {
  expression(request, "immediate", [&] {
    request.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    const Request::Nest data(request, NFTA_IMMEDIATE_DATA);
    const Request::Nest verdict(request, NFTA_DATA_VERDICT);
    request.put_be32(NFTA_VERDICT_CODE, NF_ACCEPT);
  });
}

/// Into another interface, which then has the packet.
void forward(Request& request, u32 ifindex) {
  load_immediate(request, ifindex);
  expression(request, "fwd", [&] { request.put_be32(NFTA_FWD_SREG_DEV, NFT_REG32_00); });
}

void begin_rule(Request& request, const std::string& table, const char* chain) {
  begin(request, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
  request.put_string(NFTA_RULE_TABLE, table.c_str());
  request.put_string(NFTA_RULE_CHAIN, chain);
}

void egress_rules(Request& request, const std::string& table, u32 mark, u32 into) {
  {
    begin_rule(request, table, kEgressChain);
    const Request::Nest list(request, NFTA_RULE_EXPRESSIONS);
    match_mark(request, mark);
    load_immediate(request, 0);
    meta_set(request, NFT_META_MARK);
    accept(request);
  }
  begin_rule(request, table, kEgressChain);
  const Request::Nest list(request, NFTA_RULE_EXPRESSIONS);
  forward(request, into);
}

void rule(Request& request, const std::string& table, u32 mark, PacketType type) {
  begin_rule(request, table, kChain);
  const Request::Nest list(request, NFTA_RULE_EXPRESSIONS);
  match_mark(request, mark | static_cast<u32>(type));
  if (type != PacketType::host) {
    load_immediate(request, static_cast<u32>(type));  // one byte, little-endian hosts
    meta_set(request, NFT_META_PKTTYPE);
  }
  load_immediate(request, 0);
  meta_set(request, NFT_META_MARK);
  accept(request);
}

std::unexpected<Error> explain(const Error& error, const std::string& ifname) {
  switch (error.code) {
    case EPERM:  // capabilities were checked by the packet socket and the TAP: the table has another owner
    case EEXIST:
      return fail(EBUSY, fmt::format("{}: another skep has this interface", ifname));
    case ENOENT:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EINVAL:
      return fail(EOPNOTSUPP, fmt::format("{}: the kernel lacks nftables at netdev ingress with owned tables "
                                          "(module nf_tables, CONFIG_NF_TABLES_NETDEV, Linux 5.12): {}",
                                          ifname, error.what));
    default:
      return fail(error.code, fmt::format("{}: nftables: {}", ifname, error.what));
  }
}

}  // namespace

Result<NftGuard> NftGuard::open(u32 ifindex, std::string ifname) {
  auto netlink = Netlink::open(NETLINK_NETFILTER);
  if (!netlink)
    return fail(EOPNOTSUPP, fmt::format("{}: the kernel lacks nftables (modules nfnetlink, nf_tables): {}",
                                        ifname, netlink.error().what));
  // A killed process has its descriptors released from the highest to the lowest, and releasing a packet
  // socket or a TAP takes milliseconds: the tables go first.
  TRY(netlink->move_descriptor(kHighDescriptor));
  return NftGuard(std::move(*netlink), std::move(ifname), fmt::format("skep-if{}", ifindex), 0);
}

Result<NftGuard> NftGuard::open_egress(u32 ifindex, std::string ifname, u32 into) {
  NftGuard guard = TRY(open(ifindex, std::move(ifname)));
  guard.table_ = fmt::format("skep-out{}", ifindex);
  guard.into_ = into;
  return guard;
}

void NftGuard::put_table(Request& request) const {
  begin(request, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
  request.put_string(NFTA_TABLE_NAME, table_.c_str());
  request.put_be32(NFTA_TABLE_FLAGS, kOwned);

  begin(request, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  request.put_string(NFTA_CHAIN_TABLE, table_.c_str());
  request.put_string(NFTA_CHAIN_NAME, into_ == 0 ? kChain : kEgressChain);
  request.put_string(NFTA_CHAIN_TYPE, "filter");
  {
    const Request::Nest hook(request, NFTA_CHAIN_HOOK);
    request.put_be32(NFTA_HOOK_HOOKNUM, into_ == 0 ? u32{NF_NETDEV_INGRESS} : kEgressHook);
    request.put_be32(NFTA_HOOK_PRIORITY, static_cast<u32>(kPriority));
    request.put_string(NFTA_HOOK_DEV, ifname_.c_str());
  }
  request.put_be32(NFTA_CHAIN_POLICY, into_ == 0 ? NF_DROP : NF_ACCEPT);
  if (into_ != 0) return egress_rules(request, table_, mark_, into_);
  for (const auto type :
       {PacketType::host, PacketType::broadcast, PacketType::multicast, PacketType::otherhost})
    rule(request, table_, mark_, type);
}

Result<void> NftGuard::engage(u32 mark) {
  mark_ = mark;
  Request request;
  batch_edge(request, NFNL_MSG_BATCH_BEGIN);
  put_table(request);
  batch_edge(request, NFNL_MSG_BATCH_END);
  if (auto done = netlink_.transact(request); !done) return explain(done.error(), ifname_);
  return {};
}

Result<void> NftGuard::follow(std::string ifname) {
  ifname_ = std::move(ifname);
  Request request;
  batch_edge(request, NFNL_MSG_BATCH_BEGIN);
  begin(request, NFT_MSG_DELTABLE, 0);
  request.put_string(NFTA_TABLE_NAME, table_.c_str());
  put_table(request);
  batch_edge(request, NFNL_MSG_BATCH_END);
  return with_context(netlink_.transact(request), "nftables: following a renamed interface");
}

Result<void> NftGuard::let_all_pass() {
  Request request;
  batch_edge(request, NFNL_MSG_BATCH_BEGIN);
  begin(request, NFT_MSG_NEWCHAIN, 0);
  request.put_string(NFTA_CHAIN_TABLE, table_.c_str());
  request.put_string(NFTA_CHAIN_NAME, kChain);
  request.put_be32(NFTA_CHAIN_POLICY, NF_ACCEPT);
  batch_edge(request, NFNL_MSG_BATCH_END);
  return with_context(netlink_.transact(request), "nftables: chain policy");
}

Result<void> NftGuard::close() {
  Request request;
  batch_edge(request, NFNL_MSG_BATCH_BEGIN);
  begin(request, NFT_MSG_DELTABLE, 0);
  request.put_string(NFTA_TABLE_NAME, table_.c_str());
  batch_edge(request, NFNL_MSG_BATCH_END);
  return with_context(netlink_.transact(request), "nftables: removing the table");
}

}  // namespace skep::net
