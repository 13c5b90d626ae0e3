// The contracts of all helpers of Linux 6.18, found by id and program type.
#include <array>

#include "helpers/contracts/general.hpp"
#include "helpers/contracts/maps.hpp"
#include "helpers/contracts/packets.hpp"
#include "helpers/contracts/sockets.hpp"
#include "helpers/contracts/tracing.hpp"
#include "helpers/table.hpp"

namespace skep::helpers {
namespace {

constexpr u32 variants_max = 3;
/// The rows of each id, those for some program types first.
using Index = std::array<std::array<const Contract*, variants_max>, max_id>;

consteval Index index_rows() {
  Index index{};
  const auto add = [&](const auto& rows) {
    for (const Contract& row : rows)
      for (const Contract*& place : index[row.id])
        if (place == nullptr) {
          place = &row;
          break;
        }
  };
  add(maps_contracts);
  add(packets_contracts);
  add(sockets_contracts);
  add(tracing_contracts);
  add(general_contracts);
  return index;
}
constexpr Index by_id = index_rows();

/// bpf_get_func_ip() is for everybody where the address comes with the link of a multi-attached probe.
constexpr Contract get_func_ip_of_multi{.id = 173, .name = "get_func_ip", .args = {ctx}};
constexpr bool is_multi_probe(AttachType attach) {
  return attach == AttachType::trace_kprobe_multi || attach == AttachType::trace_kprobe_session ||
         attach == AttachType::trace_uprobe_multi || attach == AttachType::trace_uprobe_session;
}

}  // namespace

const Contract* lookup(ProgType type, AttachType attach, u32 id) {
  if (!allowed(type, attach, id)) return nullptr;
  if (id == get_func_ip_of_multi.id && is_multi_probe(attach)) return &get_func_ip_of_multi;
  for (const Contract* row : by_id[id])
    if (row != nullptr && (row->only_types == 0 || (row->only_types & bit(type)) != 0)) return row;
  return nullptr;
}

std::string_view kernel_type_name(KernelType type) {
  constexpr std::string_view names[] = {"",
                                        "",
                                        "task_struct",
                                        "sock_common",
                                        "tcp_sock",
                                        "tcp6_sock",
                                        "tcp_timewait_sock",
                                        "tcp_request_sock",
                                        "udp6_sock",
                                        "unix_sock",
                                        "mptcp_sock",
                                        "socket",
                                        "file",
                                        "inode",
                                        "path",
                                        "linux_binprm",
                                        "cgroup",
                                        "seq_file",
                                        "sk_buff",
                                        "xdp_buff",
                                        "pt_regs"};
  return names[static_cast<u32>(type)];
}

}  // namespace skep::helpers
