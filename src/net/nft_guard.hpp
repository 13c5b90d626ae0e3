// Keeps received packets of an interface from the host's stack: one nftables table of family netdev with an
// ingress chain whose policy is drop. Only packets that carry our mark pass; they get their packet type back
// and lose the mark. Or diverts what the host sends out of an interface into another one (a TAP of ours): an
// egress chain (Linux 5.16) that lets only packets with our mark out, without the mark. The table is owned by
// a netlink socket (NFT_TABLE_F_OWNER, Linux 5.12): whatever ends this process, the kernel removes it.
#pragma once
#include "base/result.hpp"
#include "net/netlink.hpp"

namespace skep::net {

class NftGuard {
 public:
  /// Nothing is guarded yet.
  static Result<NftGuard> open(u32 ifindex, std::string ifname);
  /// The same for what is sent, which goes to the interface `into` instead.
  static Result<NftGuard> open_egress(u32 ifindex, std::string ifname, u32 into);

  /// From now on only packets marked `mark` | PacketType pass (its two lowest bits are clear), as of that
  /// type; of sent ones, only those marked `mark`. EBUSY: another process guards this interface.
  Result<void> engage(u32 mark);
  /// The interface was renamed. Since Linux 6.16 a chain belongs to a name: it lets go of an interface that
  /// gets another one, and takes hold of any that gets its own.
  Result<void> follow(std::string ifname);

  /// From now on unmarked packets pass too; marked ones still get their type back.
  Result<void> let_all_pass();
  /// Removes the table.
  Result<void> close();

 private:
  NftGuard(Netlink netlink, std::string ifname, std::string table, u32 into)
      : netlink_(std::move(netlink)), into_(into), ifname_(std::move(ifname)), table_(std::move(table)) {}
  void put_table(Request& request) const;
  Netlink netlink_;
  u32 mark_ = 0;
  u32 into_ = 0;  ///< not 0: guards what is sent
  std::string ifname_;
  std::string table_;
};

}  // namespace skep::net
