// LinuxKernel: the machine's own eBPF, through bpf(2), rtnetlink, bpffs and tracefs. What needs privileges
// fails with the errno the machine gives.
#pragma once
#include "client/attr_kernel.hpp"

namespace skep::client {

class LinuxKernel final : public AttrKernel {
 public:
  struct Options {
    /// Pinning below a directory that is no bpffs mounts one there first, as bpftool does without --nomount.
    bool mount_bpffs = true;
  };
  LinuxKernel() = default;
  explicit LinuxKernel(Options options) : options_(options) {}

  [[nodiscard]] std::string_view kernel_name() const override { return "linux"; }
  Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) override;
  Result<MapMemory> map_memory(int map) override;
  /// A real perf event. It stays in its slot until the map's descriptor is closed.
  Result<EventRing> map_events(int map, const EventSpec& spec) override;
  Result<u32> possible_cpus() override;
  Result<std::string> pin_directory() override;
  Result<void> xdp_attach(const XdpAttach& attach) override;
  Result<std::vector<XdpAttachment>> xdp_query() override;
  Result<std::vector<u32>> helpers(ProgType type) override;
  /// tcx programs and links, and cls_bpf filters of clsact.
  Result<std::vector<TcAttachment>> tc_query() override;
  Result<UniqueFd> trace_pipe() override;
  Result<void> set_stats_enabled(bool on) override;
  Result<SymbolTable> symbols() override;

 protected:
  Result<int> bpf(const BpfCall& call) override;
  Result<FdInfo> fd_info(ObjectKind kind, int fd) override;
  Result<ObjectKind> kind_of(int fd) override;

 private:
  Options options_;
  std::optional<u32> possible_cpus_;
};

/// "0-3,8": how many CPU numbers there are up to the highest one (num_possible_cpus). EINVAL for other text.
[[nodiscard]] Result<u32> count_cpus(std::string_view list);

}  // namespace skep::client
