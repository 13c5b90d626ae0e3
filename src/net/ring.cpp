// See ring.hpp. Layout of a frame: tpacket2_hdr, sockaddr_ll, the reserve, virtio_net_hdr, the packet at
// tp_mac. The kernel takes a VLAN tag out of the packet into the header; it is put back in front of the
// program, as on the wire.
#include "net/ring.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "net/buffers.hpp"
#include "net/packet_socket.hpp"

namespace skep::net {
namespace {

constexpr u32 kAddressAt = 32;  ///< TPACKET_ALIGN(sizeof(tpacket2_hdr)): the sockaddr_ll
static_assert(sizeof(tpacket2_hdr) == kAddressAt);
constexpr u32 kAddresses = 2 * ETH_ALEN;
/// PACKET_RESERVE: the program's headroom; 6 more leave room for a VLAN tag and align the IP header to 16.
constexpr u32 kReserve = limits::xdp_headroom + 6;
/// Bytes of a frame before the Ethernet header: headers, reserve, virtio_net_hdr, alignment.
constexpr u32 kBefore = 352;
constexpr u32 kRingBytes = 8U << 20;
constexpr u32 kBlockBytes = 1U << 18;
constexpr int kQueueBytes = 64 << 20;

Result<void> attach_filter(const UniqueFd& socket, std::span<sock_filter> code) {
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    return fail_errno("SO_ATTACH_FILTER");
  return {};
}

sock_filter statement(int code, u32 k) { return {static_cast<u16>(code), 0, 0, k}; }

Result<void> refuse_mark(const UniqueFd& socket, u32 mark) {
  std::array<sock_filter, 5> code{
      statement(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(SKF_AD_OFF + SKF_AD_MARK)),
      statement(BPF_ALU | BPF_AND | BPF_K, ~3U),
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, mark},
      statement(BPF_RET | BPF_K, 0),
      statement(BPF_RET | BPF_K, 0xffffffff),
  };
  return attach_filter(socket, code);
}

/// Puts the tag back between the addresses and the EtherType, growing the packet at its front.
void insert_vlan_tag(Packet& packet, u16 tpid, u16 tci) {
  std::byte* data = packet.data - vlan_bytes;
  std::memmove(data, packet.data, kAddresses);
  store(data + kAddresses, __builtin_bswap16(tpid));
  store(data + kAddresses + 2, __builtin_bswap16(tci));
  packet.data = data;
  packet.offload = moved(packet.offload, vlan_bytes, packet.size());
}

u32 status_of(const tpacket2_hdr* header) { return __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE); }

}  // namespace

Result<std::unique_ptr<PacketRing>> PacketRing::open(u32 ifindex, u32 mtu, u32 mark) {
  std::unique_ptr<PacketRing> owner(new PacketRing);
  PacketRing& ring = *owner;
  ring.socket_ = TRY(open_packet_socket());
  const UniqueFd& socket = ring.socket_;
  TRY(set_option(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING (Linux 4.20)"));
  TRY(set_option(socket, SOL_PACKET, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION 2"));
  TRY(set_option(socket, SOL_PACKET, PACKET_RESERVE, static_cast<int>(kReserve), "PACKET_RESERVE"));
  TRY(set_option(socket, SOL_PACKET, PACKET_COPY_THRESH, 1, "PACKET_COPY_THRESH"));
  TRY(set_receive_buffer(socket, kQueueBytes));
  TRY(refuse_mark(socket, mark));

  const u32 wanted = kBefore + ETH_HLEN + vlan_bytes + mtu + packet_tailroom;
  ring.frame_size_ = wanted <= 4096 ? 4096 : wanted <= 16384 ? std::bit_ceil(wanted) : 4096;
  ring.frame_count_ = kRingBytes / ring.frame_size_;
  tpacket_req request{};
  request.tp_block_size = kBlockBytes;
  request.tp_block_nr = kRingBytes / kBlockBytes;
  request.tp_frame_size = ring.frame_size_;
  request.tp_frame_nr = ring.frame_count_;
  if (::setsockopt(socket.get(), SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0)
    return fail_errno("PACKET_RX_RING");
  ring.ring_ =
      TRY(Mapping::map(kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, socket.get(), 0, "packet ring"));
  ring.long_buffers_ = TRY(make_burst_buffers());
  TRY(bind_packet_socket(socket, ifindex, ETH_P_ALL));
  return owner;
}

bool PacketRing::from_frame(std::byte* frame, Packet& packet) noexcept {
  const auto* header = reinterpret_cast<const tpacket2_hdr*>(frame);
  const u32 status = status_of(header);
  if ((status & TP_STATUS_COPY) != 0) {
    if (!from_socket(packet)) return false;
  } else {
    if (header->tp_snaplen < header->tp_len) return false;  // the long-packet queue was full
    packet.data = frame + header->tp_mac;
    packet.data_end = packet.data + header->tp_snaplen;
    packet.buffer_size = frame_size_;
    packet.hard_start = frame;
    packet.offload = load<Offload>(packet.data - sizeof(Offload));
  }
  if (packet.size() < ETH_HLEN) return false;
  if ((status & TP_STATUS_VLAN_VALID) != 0) {
    const bool has_tpid = (status & TP_STATUS_VLAN_TPID_VALID) != 0;
    insert_vlan_tag(packet, has_tpid ? header->tp_vlan_tpid : u16{ETH_P_8021Q}, header->tp_vlan_tci);
  }
  const auto* link = reinterpret_cast<const sockaddr_ll*>(frame + kAddressAt);
  packet.type =
      link->sll_pkttype <= PACKET_OTHERHOST ? static_cast<PacketType>(link->sll_pkttype) : PacketType::host;
  std::byte* hard_start = packet.data - limits::xdp_headroom;
  packet.buffer_size -= static_cast<u32>(hard_start - packet.hard_start);
  packet.hard_start = hard_start;
  packet.timestamp_ns = u64{header->tp_sec} * 1'000'000'000 + header->tp_nsec;
  packet.received_at = packet.data;
  packet.received_dst = load<u64>(packet.data);
  if ((status & TP_STATUS_COPY) != 0) long_used_++;
  return true;
}

bool PacketRing::from_socket(Packet& packet) noexcept {
  packet.data = burst_buffer(long_buffers_, long_used_);
  packet.hard_start = packet.data - limits::xdp_headroom - vlan_bytes;
  packet.buffer_size = buffer_bytes;
  std::array<iovec, 2> parts{iovec{&packet.offload, sizeof packet.offload},
                             iovec{packet.data, longest_packet}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  for (int attempt = 0; attempt < 3; attempt++) {
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (got >= 0) {
      if ((message.msg_flags & MSG_TRUNC) != 0 || static_cast<std::size_t>(got) < sizeof(Offload))
        return false;
      packet.data_end = packet.data + got - sizeof(Offload);
      return true;
    }
    // A pending ENETDOWN is reported once in place of the packet, which is still queued.
    if (errno == EAGAIN) break;
  }
  return false;
}

bool PacketRing::is_filled(u32 index) const {
  return (status_of(reinterpret_cast<const tpacket2_hdr*>(frame(index))) & TP_STATUS_USER) != 0;
}

u32 PacketRing::receive(std::span<Packet, limits::packet_burst> burst) noexcept {
  u32 count = 0;
  while (count < burst.size() && taken_ < frame_count_ && allowed_ > 0 && is_filled(next_)) {
    if (from_frame(frame(next_), burst[count]))
      count++;
    else
      lost_.add(1);
    next_ = following(next_);
    taken_++;
    allowed_--;
    if (count == 0) release();  // nothing handed out yet: lost packets' frames go back at once
  }
  return count;
}

void PacketRing::release() noexcept {
  u32 index = next_ >= taken_ ? next_ - taken_ : next_ + frame_count_ - taken_;
  for (; taken_ > 0; taken_--) {
    auto* header = reinterpret_cast<tpacket2_hdr*>(frame(index));
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    index = following(index);
  }
  long_used_ = 0;
}

void PacketRing::discard_waiting() noexcept {
  Packet ignored;
  for (u32 seen = 0; seen < frame_count_ && is_filled(next_); seen++) {
    (void)from_frame(frame(next_), ignored);  // a long packet has to leave its queue too
    next_ = following(next_);
    taken_++;
    release();
  }
}

void PacketRing::receive_only_waiting() noexcept {
  allowed_ = 0;
  for (u32 index = next_; allowed_ < frame_count_ && is_filled(index); index = following(index)) allowed_++;
}

int PacketRing::take_error() noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

u64 PacketRing::losses() const noexcept {
  tpacket_stats kernel{};
  socklen_t size = sizeof kernel;
  if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &kernel, &size) == 0)
    kernel_drops_.fetch_add(kernel.tp_drops, std::memory_order_relaxed);
  return lost_.get() + kernel_drops_.load(std::memory_order_relaxed);
}

}  // namespace skep::net
