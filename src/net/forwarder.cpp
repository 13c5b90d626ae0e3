#include "net/forwarder.hpp"

namespace skep::net {

Result<Forwarder> Forwarder::open() { return Forwarder(TRY(Sender::queueing())); }

Forwarder::Way* Forwarder::way_into(u32 ifindex) noexcept {
  if (const auto known = ways_.find(ifindex); known != ways_.end()) return known->second.get();
  std::unique_ptr<Way> way;
  if (auto tap = InjectTap::open(ifindex, InjectTap::any_mark)) {
    if (auto sender = Sender::injecting(tap->ifindex()))
      way = std::make_unique<Way>(Way{std::move(*tap), std::move(*sender)});
  }
  return ways_.emplace(ifindex, std::move(way)).first->second.get();
}

void Forwarder::add(const Packet& packet, Counter& errors) noexcept {
  if (packet.disposition == Disposition::forward) {
    out_.add(packet, current_offload(packet), {packet.out_ifindex, 0, &errors});
    return;
  }
  if (Way* way = way_into(packet.out_ifindex))
    way->sender.add(packet, InjectTap::fitting(packet), {way->tap.ifindex(), 0, &errors});
  else
    errors.add(1);
}

void Forwarder::flush() noexcept {
  out_.flush();
  for (auto& [ifindex, way] : ways_)
    if (way != nullptr) way->sender.flush();
}

}  // namespace skep::net
