#include "net/memory_port.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>

#include "net/buffers.hpp"

namespace skep::net {

Result<std::unique_ptr<MemoryPort>> MemoryPort::open(u32 ifindex) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return fail_errno("eventfd");
  return std::unique_ptr<MemoryPort>(new MemoryPort(ifindex, std::move(wake), TRY(make_burst_buffers())));
}

MemoryPort::MemoryPort(u32 ifindex, UniqueFd wake, Mapping buffers)
    : ifindex_(ifindex), wake_(std::move(wake)), buffers_(std::move(buffers)) {}

Result<void> MemoryPort::push(ByteView packet, const Offload& offload) {
  if (packet.size() > longest_packet)
    return fail(EMSGSIZE, fmt::format("packet of {} bytes, at most {}", packet.size(), longest_packet));
  if (packet.size() < ethernet_header)
    return fail(EINVAL, fmt::format("packet of {} bytes has no Ethernet header", packet.size()));
  const std::lock_guard lock(mutex_);
  if (ended_) return fail(EPIPE, "the port was ended");
  waiting_.push_back({{packet.begin(), packet.end()}, offload});
  ::eventfd_write(wake_.get(), 1);
  return {};
}

void MemoryPort::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  ::eventfd_write(wake_.get(), 1);
}

std::vector<MemoryPort::Outcome> MemoryPort::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

u32 MemoryPort::rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept {
  const std::lock_guard lock(mutex_);
  u32 count = 0;
  while (count < burst.size() && !waiting_.empty()) {
    const Waiting& next = waiting_.front();
    std::memcpy(burst_buffer(buffers_, count), next.bytes.data(), next.bytes.size());
    burst[count] = packet_in_buffer(buffers_, count, static_cast<u32>(next.bytes.size()), next.offload);
    waiting_.pop_front();
    count++;
  }
  if (waiting_.empty()) {
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
  }
  return count;
}

void MemoryPort::complete(std::span<Packet> burst) noexcept {
  const std::lock_guard lock(mutex_);
  for (const Packet& packet : burst)
    done_.push_back({packet.disposition,
                     packet.out_ifindex,
                     packet.verdict,
                     current_offload(packet),
                     {packet.data, packet.data_end}});
}

PortState MemoryPort::check() noexcept {
  const std::lock_guard lock(mutex_);
  return ended_ && waiting_.empty() ? PortState::ended : PortState::open;
}

void MemoryPort::stop_rx() noexcept { end(); }

}  // namespace skep::net
