// A daemon's client as a Caller: the memory and the descriptors are those that its request carries.
#pragma once
#include <atomic>

#include "client/wire.hpp"
#include "daemon/object_table.hpp"

namespace skep::daemon {

class WireCaller final : public Caller {
 public:
  /// `request` and `interrupted` outlive this. `pid` is the peer's, 0 if not known.
  WireCaller(ObjectTable& objects, const client::wire::Request& request, int pid,
             const std::atomic<bool>& interrupted)
      : objects_(objects), request_(request), pid_(pid), interrupted_(interrupted) {}

  Result<ByteView> read(u64 address, u64 size) override;
  u64 readable(u64 address) override;
  Result<void> write(u64 address, ByteView bytes) override;
  Result<Object> object(u32 fd) override;
  int machine_descriptor(s32 fd) override;
  Result<ElementSizes> element_sizes(Kernel& kernel, u32 fd) override;
  Result<void> hand_out(Handle handle) override;
  void hand_out(UniqueFd fd) override { fds_.push_back(std::move(fd)); }
  Result<void> in_network_namespace(const std::function<Result<void>()>& body) override;
  bool interrupted() override { return interrupted_.load(std::memory_order_relaxed); }
  std::pair<std::string, int> task() override;

  /// What the call left for the client.
  [[nodiscard]] std::vector<client::wire::Reply::Write> take_writes() { return std::move(writes_); }
  [[nodiscard]] std::vector<UniqueFd> take_fds() { return std::move(fds_); }

 private:
  Result<ObjectTable::Entry*> entry(u32 fd);

  ObjectTable& objects_;
  const client::wire::Request& request_;
  int pid_;
  const std::atomic<bool>& interrupted_;
  std::vector<client::wire::Reply::Write> writes_;
  std::vector<UniqueFd> fds_;
};

}  // namespace skep::daemon
