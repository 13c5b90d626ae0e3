// See tc.hpp.
#include "hooks/tc.hpp"

#include <algorithm>
#include <bit>
#include <optional>

#include "helpers/interfaces.hpp"
#include "helpers/skb.hpp"
#include "net/buffers.hpp"
#include "net/forwarder.hpp"

namespace skep::hooks {
namespace {

constexpr u32 tcx_next = ~0u;  ///< TCX_NEXT, -1
constexpr u32 tc_act_shot = 2, tc_act_redirect = 7;
constexpr u64 redirect_ingress = 1;                     ///< BPF_F_INGRESS
constexpr u16 eth_8021q = 0x0081, eth_8021ad = 0xa888;  ///< as they stand in the frame
constexpr u32 addresses_len = 12;
// SKB_GSO_*
constexpr u32 skb_gso_tcpv4 = 1u << 0, skb_gso_tcpv6 = 1u << 4, skb_gso_udp = 1u << 16;

u32 skb_gso_type(u8 type) {
  switch (type) {
    case net::Offload::gso_tcpv4:
      return skb_gso_tcpv4;
    case net::Offload::gso_tcpv6:
      return skb_gso_tcpv6;
    case net::Offload::gso_udp:
      return skb_gso_udp;
    default:
      return 0;
  }
}

/// skb_vlan_untag(): a tag in the frame becomes one beside it.
void take_tag(net::Packet& packet, progs::SkBuff& skb) {
  if (packet.size() < net::ethernet_header + net::vlan_bytes) return;
  const u16 proto = load<u16>(packet.data + addresses_len);
  if (proto != eth_8021q && proto != eth_8021ad) return;
  skb.vlan_proto = proto;
  skb.vlan_tci = std::byteswap(load<u16>(packet.data + addresses_len + 2));
  std::memmove(packet.data + net::vlan_bytes, packet.data, addresses_len);
  packet.data += net::vlan_bytes;
}

/// The other way round. False: there is no memory for it.
bool put_tag(helpers::Skb& skb) {
  progs::SkBuff& buf = skb.buf;
  if (buf.vlan_proto == 0 && buf.vlan_tci == 0) return true;
  if (!helpers::skb_cow(skb, net::vlan_bytes)) return false;
  helpers::skb_push(buf, net::vlan_bytes);
  std::memmove(buf.data, buf.data + net::vlan_bytes, addresses_len);
  store<u16>(buf.data + addresses_len, buf.vlan_proto);
  store<u16>(buf.data + addresses_len + 2, std::byteswap(buf.vlan_tci));
  return true;
}

void take_offload(const net::Offload& offload, progs::SkBuff& skb) {
  if ((offload.flags & net::Offload::needs_csum) != 0) {
    helpers::skb_set_ip_summed(skb, helpers::checksum_partial);
    skb.csum = (helpers::skb_headroom(skb) + offload.csum_start) | u32{offload.csum_offset} << 16;
  }
  if (offload.gso_type == net::Offload::gso_none) return;
  progs::SkbSharedInfo& info = helpers::skb_shared_info(skb);
  info.gso_size = offload.gso_size;
  info.gso_type = skb_gso_type(offload.gso_type);
  if (offload.gso_size != 0 && skb.len > offload.hdr_len)
    info.gso_segs = static_cast<u16>((skb.len - offload.hdr_len + offload.gso_size - 1) / offload.gso_size);
}

/// What is left to do of `before` for the packet as it is now, `grown` bytes longer in front.
net::Offload offload_of(progs::SkBuff& skb, const net::Offload& before, s64 grown) {
  net::Offload offload;
  if (helpers::skb_ip_summed(skb) == helpers::checksum_partial) {
    const s64 start = s64{skb.csum & 0xffff} - s64{helpers::skb_headroom(skb)};
    const u32 field = skb.csum >> 16;
    if (start >= s64{net::ethernet_header} && start + field + 2 <= s64{skb.len}) {
      offload.flags = net::Offload::needs_csum;
      offload.csum_start = static_cast<u16>(start);
      offload.csum_offset = static_cast<u16>(field);
    }
  }
  const progs::SkbSharedInfo& info = helpers::skb_shared_info(skb);
  if (before.gso_type == net::Offload::gso_none || info.gso_size == 0) return offload;
  offload.gso_type = before.gso_type;
  offload.gso_size = info.gso_size;
  offload.hdr_len = static_cast<u16>(std::clamp<s64>(before.hdr_len + grown, net::ethernet_header, skb.len));
  return offload;
}

}  // namespace

/// bpf_clone_redirect(): a copy of the packet as it is goes its way while the program runs.
struct TcHook::Buffers final : PacketSink {
  std::array<std::optional<helpers::Skb>, limits::packet_burst> skbs;
  std::optional<net::Forwarder> forwarder;  ///< opened by the first
  helpers::Skb* current = nullptr;
  net::Offload before;
  u32 size_before = 0;
  std::vector<std::byte> copy;  ///< with its tag

  bool transmit(u32 ifindex, bool ingress, std::span<const std::byte> frame) noexcept override;
};

bool TcHook::Buffers::transmit(u32 ifindex, bool ingress, std::span<const std::byte> frame) noexcept {
  if (!forwarder) {
    auto opened = net::Forwarder::open();
    if (!opened) return false;
    forwarder.emplace(std::move(*opened));
  }
  progs::SkBuff& buf = current->buf;
  net::Packet packet;
  packet.offload = offload_of(buf, before, s64{buf.len} - s64{size_before});
  copy.assign(frame.begin(), frame.end());
  packet.received_at = copy.data();
  if (buf.vlan_proto != 0 && copy.size() >= addresses_len) {
    std::array<std::byte, net::vlan_bytes> tag{};
    store<u16>(tag.data(), buf.vlan_proto);
    store<u16>(tag.data() + 2, std::byteswap(buf.vlan_tci));
    copy.insert(copy.begin() + addresses_len, tag.begin(), tag.end());
    packet.received_at = copy.data() + net::vlan_bytes;  // where the offload's offsets count from
  }
  packet.data = copy.data();
  packet.data_end = copy.data() + copy.size();
  packet.disposition = ingress ? net::Disposition::receive : net::Disposition::forward;
  packet.out_ifindex = ifindex;
  net::Counter errors;
  forwarder->add(packet, errors);
  forwarder->flush();
  return errors.get() == 0;
}

TcHook::TcHook(u32 ifindex, TcDirection direction, const RunContext& run)
    : run_(run), direction_(direction), buffers_(std::make_unique<Buffers>()) {
  device_.ifindex = ifindex;
  helpers::describe_device(device_, net_);
  run_.packets = buffers_.get();
}
TcHook::~TcHook() = default;

void TcHook::run_burst(const TcChain& chain, std::span<net::Packet> burst) noexcept {
  for (std::size_t i = 0; i < burst.size(); ++i)
    if (burst[i].disposition == net::Disposition::pass) run_one(chain, burst[i], i);
}

void TcHook::release() noexcept {
  for (auto& skb : buffers_->skbs) skb.reset();
}

/// A packet as sch_handle_ingress() or sch_handle_egress() has it: programs see the link layer's header.
void TcHook::run_one(const TcChain& chain, net::Packet& packet, std::size_t index) noexcept {
  helpers::Skb& skb = buffers_->skbs[index].emplace();
  progs::SkBuff& buf = skb.buf;
  take_tag(packet, buf);
  const net::Offload before = net::current_offload(packet);
  helpers::skb_build(skb, packet.hard_start, packet.buffer_size,
                     static_cast<u32>(packet.data - packet.hard_start), packet.size(), &device_);
  helpers::skb_eth_type_trans(skb);
  helpers::skb_reset_mac_len(buf);
  helpers::skb_push(buf, net::ethernet_header);
  const bool ingress = direction_ == TcDirection::ingress;
  const u8 type = ingress ? static_cast<u8>(packet.type) : u8{0};
  buf.type_bits = static_cast<u8>((buf.type_bits & ~progs::skb_pkt_type_mask) | type);
  if (ingress) {
    buf.skb_iif = device_.ifindex;
    buf.time_bits |= progs::skb_tc_at_ingress;
    buf.tstamp = packet.timestamp_ns;
  }
  take_offload(before, buf);
  const u32 size_before = buf.len;
  buffers_->current = &skb;
  buffers_->before = before;
  buffers_->size_before = size_before;

  u32 result = tcx_next;
  run_.ctx = &skb;
  for (const Entry& program : chain) {
    helpers::skb_compute_data_pointers(buf);
    run_.redirect = {};
    run_.tail_calls = 0;
    result = static_cast<u32>(program(&buf, &run_));
    if (result != tcx_next) break;
  }
  const s64 grown = s64{buf.len} - s64{size_before};
  const bool whole = put_tag(skb);
  const u32 tag = whole && (buf.vlan_proto != 0 || buf.vlan_tci != 0) ? net::vlan_bytes : 0;
  packet.offload = offload_of(buf, before, grown + tag);
  packet.data = buf.data;
  packet.data_end = buf.data + buf.len;
  packet.hard_start = buf.head;
  packet.buffer_size = buf.end + helpers::skb_tailroom_reserved;
  packet.received_at = packet.data;  // the offload is that of the packet as it is now
  if (packet.size() >= sizeof(u64)) packet.received_dst = load<u64>(packet.data);
  if (ingress) packet.type = static_cast<net::PacketType>(buf.type_bits & progs::skb_pkt_type_mask & 3);
  packet.verdict = result;
  dispose(whole ? result : tc_act_shot, packet);
}

/// tcx_action_code() and what sch_handle_ingress() does with it: whatever is no verdict of tcx's goes on.
void TcHook::dispose(u32 result, net::Packet& packet) noexcept {
  using net::Disposition;
  const RedirectInfo& target = run_.redirect;
  switch (result) {
    case tc_act_shot:
      packet.disposition = Disposition::drop;
      drop_.add(1);
      break;
    case tc_act_redirect:
      if (target.ifindex == 0 || target.map != nullptr || (target.flags & ~redirect_ingress) != 0) {
        packet.disposition = Disposition::drop;
        bad_redirect_.add(1);
        drop_.add(1);
        break;
      }
      packet.disposition = target.flags == redirect_ingress ? Disposition::receive : Disposition::forward;
      packet.out_ifindex = target.ifindex;
      redirect_.add(1);
      break;
    default:
      pass_.add(1);
      break;
  }
}

TcStats TcHook::stats() const { return {pass_.get(), drop_.get(), redirect_.get(), bad_redirect_.get()}; }

}  // namespace skep::hooks
