#include "daemon/serve_bpf.hpp"

#include <fmt/format.h>

#include "daemon/attr_io.hpp"

namespace skep::daemon {

Result<void> serve_bpf(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes attr) {
  switch (cmd) {
    case Cmd::map_create:
    case Cmd::map_lookup_elem:
    case Cmd::map_update_elem:
    case Cmd::map_delete_elem:
    case Cmd::map_get_next_key:
    case Cmd::map_lookup_and_delete_elem:
    case Cmd::map_freeze:
    case Cmd::map_lookup_batch:
    case Cmd::map_lookup_and_delete_batch:
    case Cmd::map_update_batch:
    case Cmd::map_delete_batch:
      return serve_map_command(kernel, caller, cmd, attr);
    case Cmd::prog_load:
    case Cmd::prog_test_run:
    case Cmd::prog_bind_map:
    case Cmd::btf_load:
    case Cmd::obj_pin:
    case Cmd::obj_get:
      return serve_program_command(kernel, caller, cmd, attr);
    case Cmd::prog_get_next_id:
    case Cmd::map_get_next_id:
    case Cmd::btf_get_next_id:
    case Cmd::link_get_next_id:
    case Cmd::prog_get_fd_by_id:
    case Cmd::map_get_fd_by_id:
    case Cmd::btf_get_fd_by_id:
    case Cmd::link_get_fd_by_id:
    case Cmd::obj_get_info_by_fd:
      return serve_info_command(kernel, caller, cmd, attr);
    case Cmd::link_create:
    case Cmd::link_update:
    case Cmd::link_detach:
    case Cmd::prog_query:
    case Cmd::prog_attach:
    case Cmd::prog_detach:
      return serve_link_command(kernel, caller, cmd, attr);
    default:
      return fail(EINVAL, fmt::format("bpf(2) command {} is not supported", static_cast<u32>(cmd)));
  }
}

}  // namespace skep::daemon
