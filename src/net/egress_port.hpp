// The port behind an interface's egress: what the host sends out of it arrives here first. An nftables table
// diverts every packet into a private TAP; what the program passes is sent out of the interface with our
// mark, through the queueing discipline it would have gone through. All of it hangs on descriptors of this
// process; however it ends, the host sends by itself again.
#pragma once
#include "net/port.hpp"
#include "net/sysctl.hpp"

namespace skep::net {

/// As open_packet_port() (packet_port.hpp), for sent packets. Disposition::pass means: out of the interface.
Result<std::unique_ptr<Port>> open_egress_port(u32 ifindex,
                                               const SettingsJournal& journal = SettingsJournal());

}  // namespace skep::net
