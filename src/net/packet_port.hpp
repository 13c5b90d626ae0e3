// The port on a real interface, without kernel eBPF and without changing the interface: a packet socket sees
// every packet first, an nftables table keeps them from the host's stack, and those the program passes come
// back through a private TAP that leads to the interface's ingress. All of it hangs on descriptors of this
// process; however it ends, the interface is left as it was found.
#pragma once
#include "net/port.hpp"
#include "net/sysctl.hpp"

namespace skep::net {

/// Takes over the interface `ifindex` of the calling thread's network namespace. The port works from any
/// thread. Errors are one sentence that begins with the interface's name:
/// ENODEV: no such interface; EBUSY: another process of ours has it; EPERM: needs CAP_NET_RAW and
/// CAP_NET_ADMIN; EOPNOTSUPP: not an Ethernet-like interface, or the kernel lacks what the sentence names.
/// `journal`: where settings of `lo` that are changed meanwhile are remembered.
Result<std::unique_ptr<Port>> open_packet_port(u32 ifindex,
                                               const SettingsJournal& journal = SettingsJournal());

}  // namespace skep::net
