// Where tc's redirects go: out of another interface as its host's own packets do, through its egress hooks
// and queueing discipline, or into another interface as if received there (kernel: __bpf_redirect()).
#pragma once
#include <map>

#include "net/inject_tap.hpp"
#include "net/sender.hpp"

namespace skep::net {

class Forwarder {
 public:
  static Result<Forwarder> open();

  /// For Disposition::forward and ::receive, to packet.out_ifindex; the bytes must stay until flush(). The
  /// first packet into an interface opens the way there, which allocates, on the calling thread and in its
  /// network namespace: a worker is in that of its interface.
  void add(const Packet& packet, Counter& errors) noexcept;
  void flush() noexcept;

 private:
  explicit Forwarder(Sender out) : out_(std::move(out)) {}
  struct Way {
    InjectTap tap;
    Sender sender;
  };
  Way* way_into(u32 ifindex) noexcept;

  Sender out_;
  std::map<u32, std::unique_ptr<Way>> ways_;  ///< null: there is none, and it was tried
};

}  // namespace skep::net
