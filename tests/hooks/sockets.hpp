// Traffic and packet programs for the XDP tests.
#pragma once
#include <array>
#include <string>

#include "hooks/programs.hpp"
#include "net/testbed.hpp"

namespace skep::testing {

using Mac = std::array<u8, 6>;
Mac mac_of(const Namespace& ns, const std::string& name);

/// Where forward_ipv4 sends; `self` of the program.
struct Exit {
  u32 ifindex;
  Mac from, to;
};
/// IPv4 but ICMP-less ARP and IPv6: to Exit, the rest passes.
u64 forward_ipv4(const void* exit, void* ctx, RunContext* rc);
/// Answers ICMP echo requests with TX; the rest passes.
u64 answer_echo(const void*, void* ctx, RunContext*);
/// UDP to port 7777 goes to 7778; all pass.
u64 rewrite_udp_port(const void*, void* ctx, RunContext*);
/// IPv4 gets the destination address of some other machine; all pass.
u64 to_a_stranger(const void*, void* ctx, RunContext*);

/// Sends `text` by UDP from `from` to ADDRESS:port; what a socket on `listen_port` in `to` gets, "" after 1
/// s.
std::string udp_through(const Namespace& from, const Namespace& to, const std::string& address, u16 port,
                        u16 listen_port, const std::string& text);
/// Sends `bytes` numbered bytes by TCP from `from` to ADDRESS in `to`; how many arrived in order, within 20
/// s.
long tcp_through(const Namespace& from, const Namespace& to, const std::string& address, long bytes);

}  // namespace skep::testing
