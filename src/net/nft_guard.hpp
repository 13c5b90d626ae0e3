// Keeps received packets of an interface from the host's stack: one nftables table of family netdev with an
// ingress chain whose policy is drop. Only packets that carry our mark pass; they get their packet type back
// and lose the mark. The table is owned by a netlink socket (NFT_TABLE_F_OWNER, Linux 5.12): whatever ends
// this process, the kernel removes it.
#pragma once
#include "base/result.hpp"
#include "net/netlink.hpp"

namespace skep::net {

class NftGuard {
 public:
  /// EBUSY: another process guards this interface. `mark` has its two lowest bits clear: a packet marked
  /// mark | PacketType is let through as of that type.
  static Result<NftGuard> open(u32 ifindex, const std::string& ifname, u32 mark);

  /// From now on unmarked packets pass too; marked ones still get their type back.
  Result<void> let_all_pass();
  /// Removes the table.
  Result<void> close();

 private:
  NftGuard(Netlink netlink, std::string table) : netlink_(std::move(netlink)), table_(std::move(table)) {}
  Netlink netlink_;
  std::string table_;
};

}  // namespace skep::net
