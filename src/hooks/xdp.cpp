// See xdp.hpp.
#include "hooks/xdp.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/rcu.hpp"
#include "helpers/interfaces.hpp"
#include "kernel/uapi.hpp"

namespace skep::hooks {

void XdpProgram::set_name(std::string_view text) {
  name = {};
  std::copy_n(text.data(), std::min(text.size(), name.size() - 1), name.data());
}

XdpHook::XdpHook(u32 ifindex, const RunContext& run) : run_(run) {
  device_.ifindex = ifindex;
  helpers::describe_device(device_, net_);
  rxq_.dev = &device_;
}

void XdpHook::run_burst(const XdpProgram& program, std::span<net::Packet> burst) noexcept {
  for (; burst.size() > limits::packet_burst; burst = burst.subspan(limits::packet_burst))
    run_some(program, burst.first(limits::packet_burst));
  if (!burst.empty()) run_some(program, burst);
}

/// bpf_prog_run_xdp() on buffers as xdp_prepare_buff() makes them: metadata is possible and empty. What
/// redirects, aborts or is no verdict is disposed of before the next packet runs.
void XdpHook::run_some(const XdpProgram& program, std::span<net::Packet> packets) noexcept {
  std::array<progs::XdpBuff, limits::packet_burst> buffers;  // NOLINT: as many as are used are filled
  std::array<u32, limits::packet_burst> verdicts;            // NOLINT: written by the program
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const net::Packet& packet = packets[i];
    buffers[i].data = buffers[i].data_meta = packet.data;
    buffers[i].data_end = packet.data_end;
    buffers[i].data_hard_start = packet.hard_start;
    buffers[i].rxq = &rxq_;
    buffers[i].frame_sz = packet.buffer_size;
  }
  if (program.chain_call != 0) {
    for (std::size_t i = 0; i < packets.size(); ++i) run_chain(program, packets[i], buffers[i]);
    return;
  }
  const BurstEntry run = program.burst.run != nullptr ? program.burst : BurstEntry{run_each, &program.entry};
  for (std::size_t first = 0; first < packets.size();) {
    const Burst burst{.contexts = &buffers[first],
                      .stride = sizeof buffers[first],
                      .results = &verdicts[first],
                      .count = static_cast<u32>(packets.size() - first),
                      .ordinary = uapi::XDP_DROP,
                      .ordinary_count = uapi::XDP_TX - uapi::XDP_DROP + 1};
    for (const std::size_t end = first + run(burst, &run_); first < end; ++first) {
      net::Packet& packet = packets[first];
      packet.verdict = verdicts[first];
      packet.data = buffers[first].data;
      packet.data_end = buffers[first].data_end;
      dispose(program, packet);
    }
  }
}

/// Several programs, one after the other on the packet as the one before left it. libxdp's dispatcher ends in
/// XDP_PASS when the last program, too, lets its result go on.
void XdpHook::run_chain(const XdpProgram& first, net::Packet& packet, progs::XdpBuff& buffer) noexcept {
  run_.redirect = {};
  run_.ctx = &buffer;
  const XdpProgram* at = &first;
  bool goes_on = false;
  for (std::size_t next = 0;;) {
    run_.tail_calls = 0;
    packet.verdict = static_cast<u32>(at->entry(&buffer, &run_));
    goes_on = packet.verdict < 32 && ((at->chain_call >> packet.verdict) & 1) != 0;
    if (!goes_on || next == first.next.size()) break;
    at = &first.next[next++];
  }
  if (goes_on) packet.verdict = uapi::XDP_PASS;
  packet.data = buffer.data;
  packet.data_end = buffer.data_end;
  dispose(*at, packet);
}

void XdpHook::dispose(const XdpProgram& program, net::Packet& packet) noexcept {
  using net::Disposition;
  packet.disposition = Disposition::drop;
  switch (packet.verdict) {
    case uapi::XDP_PASS:
      packet.disposition = Disposition::pass;
      break;
    case uapi::XDP_TX:
      packet.disposition = Disposition::tx;
      break;
    case uapi::XDP_DROP:
      break;
    case uapi::XDP_REDIRECT:
      // xdp_do_redirect(): without bpf_redirect() before it there is no target. Maps of devices, CPUs and
      // sockets have no forwarding yet: no helper sets `map`.
      if (run_.redirect.ifindex == 0 || run_.redirect.map != nullptr) {
        bad_redirect_.add(1);
      } else {
        packet.disposition = Disposition::redirect;
        packet.out_ifindex = run_.redirect.ifindex;
      }
      break;
    case uapi::XDP_ABORTED:
      trace_exception(program, packet.verdict);
      break;
    default:
      invalid_.add(1);
      trace_exception(program, packet.verdict);
      return;
  }
  verdicts_[packet.verdict].add(1);
}

void XdpHook::trace_exception(const XdpProgram& program, u32 verdict) noexcept {
  if (run_.trace == nullptr) return;
  std::array<char, 192> text;  // NOLINT: filled below
  // The text of tracepoint xdp:xdp_exception, whose __print_symbolic() gives unknown actions in hex.
  auto end = verdict == uapi::XDP_ABORTED
                 ? fmt::format_to_n(text.data(), text.size(), "prog_id={} action=ABORTED ifindex={}",
                                    program.id, device_.ifindex)
                 : fmt::format_to_n(text.data(), text.size(), "prog_id={} action={:#x} ifindex={}",
                                    program.id, verdict, device_.ifindex);
  run_.trace->trace_event("xdp_exception", {text.data(), std::min(end.size, text.size())}, run_);
  if (verdict == uapi::XDP_ABORTED || warned_) return;
  // bpf_warn_invalid_xdp_action() says it once.
  warned_ = true;
  end = fmt::format_to_n(text.data(), text.size(),
                         "Illegal XDP return value {} on prog {} (id {}) ifindex {}, expect packet loss!",
                         verdict, program.name.data(), program.id, device_.ifindex);
  run_.trace->trace_event("bpf_warn_invalid_xdp_action", {text.data(), std::min(end.size, text.size())},
                          run_);
}

XdpStats XdpHook::stats() const {
  XdpStats stats;
  stats.aborted = verdicts_[uapi::XDP_ABORTED].get();
  stats.drop = verdicts_[uapi::XDP_DROP].get();
  stats.pass = verdicts_[uapi::XDP_PASS].get();
  stats.tx = verdicts_[uapi::XDP_TX].get();
  stats.redirect = verdicts_[uapi::XDP_REDIRECT].get();
  stats.invalid = invalid_.get();
  stats.redirect_errors = bad_redirect_.get();
  stats.rx = stats.aborted + stats.drop + stats.pass + stats.tx + stats.redirect + stats.invalid;
  return stats;
}

XdpStats collect(const XdpHook& hook, const net::Port& port) {
  XdpStats stats = hook.stats();
  const net::PortStats errors = port.stats();
  stats.redirect_errors += errors.redirect_errors;
  stats.tx_errors = errors.tx_errors;
  stats.pass_errors = errors.pass_errors;
  stats.rx_dropped = errors.rx_dropped;
  return stats;
}

void run_to_end(net::Port& port, XdpHook& hook, const XdpProgram& program,
                void (*seen)(void* user, std::span<const net::Packet> burst), void* user) noexcept {
  std::array<net::Packet, limits::packet_burst> packets{};
  while (const u32 count = port.rx_burst(packets)) {
    const std::span burst(packets.data(), count);
    hook.run_burst(program, burst);
    if (seen != nullptr) seen(user, burst);
    port.complete(burst);
    rcu::quiescent();
  }
}

}  // namespace skep::hooks
