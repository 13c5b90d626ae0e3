// RemoteKernel: the kernel in the user's daemon, over its socket; the daemon is started on first use. Handles
// are descriptors that the daemon made: an object lives while one of them, a duplicate included, is open
// anywhere.
#pragma once
#include <memory>

#include "client/attr_kernel.hpp"
#include "client/wire.hpp"

namespace skep::client {

struct RemoteOptions {
  std::string directory;  ///< empty: daemon_directory()
  /// What starts a daemon where none is running (SKEP_DIR is set for it); empty: ECONNREFUSED instead.
  std::vector<std::string> start_command = {"/proc/self/exe", "daemon", "start"};
};

class RemoteKernel final : public AttrKernel {
 public:
  static Result<std::unique_ptr<RemoteKernel>> connect(RemoteOptions options = {});

  [[nodiscard]] std::string_view kernel_name() const override { return "remote"; }
  Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) override;
  Result<Handle> obj_get(const std::string& path) override;
  Result<MapMemory> map_memory(int map) override;
  Result<EventRing> map_events(int map, const EventSpec& spec) override;
  Result<u32> possible_cpus() override;
  Result<std::string> pin_directory() override;
  Result<void> xdp_attach(const XdpAttach& attach) override;
  Result<std::vector<XdpAttachment>> xdp_query() override;
  Result<std::vector<u32>> helpers(ProgType type) override;
  Result<std::vector<TcAttachment>> tc_query() override;
  Result<u32> tap_add(const std::string& name) override;
  Result<void> tap_delete(const std::string& name) override;
  Result<UniqueFd> trace_pipe() override;
  Result<void> set_stats_enabled(bool on) override;
  Result<SymbolTable> symbols() override;

  /// One "word: text" a line, about the daemon itself.
  Result<std::string> status();
  /// Ends the daemon and waits until it has gone.
  Result<void> stop();

  [[nodiscard]] const std::string& directory() const { return directory_; }

 protected:
  Result<int> bpf(const BpfCall& call) override;
  Result<FdInfo> fd_info(ObjectKind kind, int fd) override;
  Result<ObjectKind> kind_of(int fd) override;

 private:
  RemoteKernel() = default;
  Result<wire::Reply> round_trip(const BpfCall& call);
  Result<u32> tap(wire::Own command, const std::string& name);
  Result<wire::FdInfo> about(int fd);
  /// A command without an attr.
  Result<wire::Reply> ask(wire::Own command, bool on_interfaces = false);

  std::string directory_;
  UniqueFd socket_;
  std::optional<u32> possible_cpus_;
};

}  // namespace skep::client
