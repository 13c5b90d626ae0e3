// `cgroup`: programs attached to control groups.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "cli/objects.hpp"
#include "cli/tables.hpp"

namespace skep::cli {

namespace {

constexpr u32 kOverride = 1, kMulti = 2,
              kEffective = 1;  // BPF_F_ALLOW_OVERRIDE, _MULTI, BPF_F_QUERY_EFFECTIVE
constexpr long kCgroup2Magic = 0x63677270;
constexpr u32 kAttachTypes = 64;  ///< more than there are

/// All attach types of control groups.
std::vector<AttachType> cgroup_attach_types() {
  std::vector<AttachType> types;
  for (u32 i = 0; i < kAttachTypes; ++i)
    if (attach_type_name(static_cast<AttachType>(i)).starts_with("cgroup_"))
      types.push_back(static_cast<AttachType>(i));
  return types;
}

/// The words that bpftool took before libbpf named the types.
struct OldWord {
  std::string_view word, name;
};
constexpr std::array kOldWords{
    OldWord{"ingress", "cgroup_inet_ingress"},
    OldWord{"egress", "cgroup_inet_egress"},
    OldWord{"sock_create", "cgroup_inet_sock_create"},
    OldWord{"sock_ops", "cgroup_sock_ops"},
    OldWord{"device", "cgroup_device"},
    OldWord{"bind4", "cgroup_inet4_bind"},
    OldWord{"bind6", "cgroup_inet6_bind"},
    OldWord{"connect4", "cgroup_inet4_connect"},
    OldWord{"connect6", "cgroup_inet6_connect"},
    OldWord{"post_bind4", "cgroup_inet4_post_bind"},
    OldWord{"post_bind6", "cgroup_inet6_post_bind"},
    OldWord{"getpeername4", "cgroup_inet4_getpeername"},
    OldWord{"getpeername6", "cgroup_inet6_getpeername"},
    OldWord{"getsockname4", "cgroup_inet4_getsockname"},
    OldWord{"getsockname6", "cgroup_inet6_getsockname"},
    OldWord{"sendmsg4", "cgroup_udp4_sendmsg"},
    OldWord{"sendmsg6", "cgroup_udp6_sendmsg"},
    OldWord{"recvmsg4", "cgroup_udp4_recvmsg"},
    OldWord{"recvmsg6", "cgroup_udp6_recvmsg"},
    OldWord{"sysctl", "cgroup_sysctl"},
    OldWord{"getsockopt", "cgroup_getsockopt"},
    OldWord{"setsockopt", "cgroup_setsockopt"},
    OldWord{"sock_release", "cgroup_inet_sock_release"},
};

Outcome<AttachType> take_attach_type(Args& args) {
  const std::string word = TRY(args.take());
  std::string_view name = word;
  for (const AttachType type : cgroup_attach_types())
    if (attach_type_name(type) == word) return type;
  for (const OldWord& old : kOldWords)
    if (is_prefix(word, old.word)) {
      name = old.name;
      break;
    }
  for (const AttachType type : cgroup_attach_types())
    if (attach_type_name(type) == name) return type;
  return refuse("invalid attach type");
}

Outcome<UniqueFd> open_cgroup(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return refuse(fmt::format("can't open cgroup {}", path));
  return fd;
}

struct CgroupProgram {
  ProgramInfo info;
  std::string name;
  AttachType type{};
  std::string flags;
};

std::string flags_text(u32 flags) {
  switch (flags) {
    case 0:
      return "";
    case kOverride:
      return "override";
    case kMulti:
      return "multi";
    default:
      return fmt::format("unknown({:x})", flags);
  }
}

/// What is attached to one control group, by type. The failure is the errno of the last type, if all fail.
Result<std::vector<CgroupProgram>> programs_at(Kernel& kernel, const UniqueFd& cgroup, u32 query_flags) {
  struct statfs info{};
  if (::fstatfs(cgroup.get(), &info) != 0 || static_cast<long>(info.f_type) != kCgroup2Magic)
    return fail(EBADF, "no directory of a cgroup v2 hierarchy");
  std::vector<CgroupProgram> programs;
  std::optional<Error> refused;
  bool any = false;
  for (const AttachType type : cgroup_attach_types()) {
    const auto found =
        kernel.prog_query({.target_fd = cgroup.get(), .attach_type = type, .query_flags = query_flags});
    if (!found) {
      refused = found.error();
      continue;
    }
    any = true;
    for (const u32 id : found->prog_ids) {
      const auto handle = kernel.get_fd_by_id(ObjectKind::prog, id);
      if (!handle) continue;  // gone meanwhile
      auto about = kernel.prog_info(handle->fd());
      if (!about) continue;
      std::string name = full_name(kernel, *about);
      programs.push_back({std::move(*about), std::move(name), type, flags_text(found->attach_flags)});
    }
  }
  if (!any && refused) return std::unexpected(*refused);
  return programs;
}

void print_program(Cli& cli, const CgroupProgram& at, bool effective, bool in_tree) {
  if (cli.json_output()) {
    JsonWriter& json = cli.json();
    json.begin_object();
    json.field("id", at.info.id);
    json.field("attach_type", attach_type_name(at.type));
    if (!effective) json.field("attach_flags", std::string_view(at.flags));
    json.field("name", std::string_view(at.name));
    // Of LSM programs: the function. Others have type 0, whose name is empty.
    json.field("attach_btf_name", "");
    json.field("attach_btf_obj_id", at.info.attach_btf_obj_id);
    json.field("attach_btf_id", at.info.attach_btf_id);
    json.end_object();
    return;
  }
  cli.print("{}{:<8} {:<15}", in_tree && !effective ? "    " : "", at.info.id, attach_type_name(at.type));
  if (!effective) cli.print(" {:<15}", at.flags);
  cli.print(" {:<15} {:<15}\n", at.name, "");
}

void print_header(Cli& cli, bool effective) {
  if (effective)
    cli.print("{:<8} {:<15} {:<15}\n", "ID", "AttachType", "Name");
  else
    cli.print("{:<8} {:<15} {:<15} {:<15}\n", "ID", "AttachType", "AttachFlags", "Name");
}

Outcome<bool> take_effective(Args& args) {
  if (args.empty()) return false;
  if (!args.take_if("effective"))
    return refuse(fmt::format("expected no more arguments, 'effective', got: '{}'?", args.peek()));
  TRY(args.finished());
  return true;
}

Outcome<void> cgroup_show(Cli& cli, Args args) {
  TRY(args.require(1));
  const std::string path = TRY(args.take());
  const UniqueFd cgroup = TRY(open_cgroup(path));
  const bool effective = TRY(take_effective(args));
  const auto programs = programs_at(*TRY(cli.kernel()), cgroup, effective ? kEffective : 0);
  if (!programs)
    return refuse(
        fmt::format("can't query bpf programs attached to {}: {}", path, errno_text(programs.error().code)));
  if (programs->empty()) return {};
  if (cli.json_output())
    cli.json().begin_array();
  else
    print_header(cli, effective);
  for (const CgroupProgram& program : *programs) print_program(cli, program, effective, false);
  if (cli.json_output()) cli.json().end_array();
  return {};
}

/// The first cgroup v2 file system that is mounted.
Outcome<std::string> cgroup_root() {
  const auto mounts = read_file("/proc/mounts");
  const std::string text = mounts ? *mounts : "";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    const std::size_t path = line.find(' ') + 1;
    const std::size_t type = line.find(' ', path);
    if (type != std::string::npos && line.substr(type + 1).starts_with("cgroup2 "))
      return line.substr(path, type - path);
    at = end + 1;
  }
  return refuse("cgroup v2 isn't mounted");
}

/// Directories below `path`, itself first, each before what is in it.
void collect(const std::string& path, std::vector<std::string>& directories) {
  directories.push_back(path);
  std::vector<std::string> below;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") below.push_back(path + "/" + name);
  }
  ::closedir(directory);
  for (const std::string& one : below) collect(one, directories);
}

Outcome<void> cgroup_tree(Cli& cli, Args args) {
  std::string root;
  if (args.empty() || args.next_is("effective")) {
    root = TRY(cgroup_root());
  } else {
    root = TRY(args.take());
  }
  const bool effective = TRY(take_effective(args));
  Kernel& kernel = *TRY(cli.kernel());
  if (cli.json_output()) {
    cli.json().begin_array();
  } else {
    cli.print("CgroupPath\n");
    print_header(cli, effective);
  }
  struct stat info{};
  if (::stat(root.c_str(), &info) != 0)
    return refuse(fmt::format("can't iterate over {}: {}", root, errno_text(errno)));
  std::vector<std::string> directories;
  collect(root, directories);
  for (const std::string& path : directories) {
    const UniqueFd cgroup = TRY(open_cgroup(path));
    const auto programs = programs_at(kernel, cgroup, effective ? kEffective : 0);
    if (!programs)
      return refuse(fmt::format("can't query bpf programs attached to {}: {}", path,
                                errno_text(programs.error().code)));
    if (programs->empty()) continue;
    if (cli.json_output()) {
      cli.json().begin_object();
      cli.json().field("cgroup", std::string_view(path));
      cli.json().name("programs");
      cli.json().begin_array();
    } else {
      cli.print("{}\n", path);
    }
    for (const CgroupProgram& program : *programs) print_program(cli, program, effective, true);
    if (cli.json_output()) {
      cli.json().end_array();
      cli.json().end_object();
    }
  }
  if (cli.json_output()) cli.json().end_array();
  return {};
}

Outcome<void> change(Cli& cli, Args args, bool attach) {
  const std::string_view what = attach ? "attach" : "detach";
  if (args.left() < 4) return refuse(fmt::format("too few parameters for cgroup {}", what));
  const UniqueFd cgroup = TRY(open_cgroup(TRY(args.take())));
  ProgAttach request;
  request.target_fd = cgroup.get();
  request.attach_type = TRY(take_attach_type(args));
  const ProgramRef program = TRY(take_program(cli, args));
  request.prog_fd = program.handle.fd();
  while (attach && !args.empty()) {
    if (args.take_if("multi"))
      request.flags |= kMulti;
    else if (args.take_if("override"))
      request.flags |= kOverride;
    else
      return refuse(fmt::format("unknown option: {}", args.peek()));
  }
  Kernel& kernel = *TRY(cli.kernel());
  const auto done = attach ? kernel.prog_attach(request) : kernel.prog_detach(request);
  if (!done) {
    auto failure = refuse(fmt::format("failed to {} program", what));
    if (done.error().code == EOPNOTSUPP) failure.error().message += ": " + done.error().what;
    failure.error().detail = done.error().what;
    return failure;
  }
  cli.nothing_to_show();
  return {};
}

Outcome<void> cgroup_attach(Cli& cli, Args args) { return change(cli, args, true); }
Outcome<void> cgroup_detach(Cli& cli, Args args) { return change(cli, args, false); }

constexpr std::array kVerbs{
    Verb{"show", cgroup_show, "{ show | list } CGROUP [**effective**]"},
    Verb{"list", cgroup_show, ""},
    Verb{"tree", cgroup_tree, "tree [CGROUP_ROOT] [**effective**]"},
    Verb{"attach", cgroup_attach, "attach CGROUP ATTACH_TYPE PROG [ATTACH_FLAGS]"},
    Verb{"detach", cgroup_detach, "detach CGROUP ATTACH_TYPE PROG"},
    Verb{"help", nullptr, "help"},
};

}  // namespace

constinit const Noun kCgroup{
    .name = "cgroup",
    .summary = "programs attached to control groups: show, tree (skep attaches none itself)",
    .verbs = kVerbs,
    .footer =
        "       ATTACH_TYPE := { cgroup_inet_ingress | cgroup_inet_egress |\n"
        "                        cgroup_inet_sock_create | cgroup_sock_ops |\n"
        "                        cgroup_device | cgroup_inet4_bind |\n"
        "                        cgroup_inet6_bind | cgroup_inet4_post_bind |\n"
        "                        cgroup_inet6_post_bind | cgroup_inet4_connect |\n"
        "                        cgroup_inet6_connect | cgroup_unix_connect |\n"
        "                        cgroup_inet4_getpeername | cgroup_inet6_getpeername |\n"
        "                        cgroup_unix_getpeername | cgroup_inet4_getsockname |\n"
        "                        cgroup_inet6_getsockname | cgroup_unix_getsockname |\n"
        "                        cgroup_udp4_sendmsg | cgroup_udp6_sendmsg |\n"
        "                        cgroup_unix_sendmsg | cgroup_udp4_recvmsg |\n"
        "                        cgroup_udp6_recvmsg | cgroup_unix_recvmsg |\n"
        "                        cgroup_sysctl | cgroup_getsockopt |\n"
        "                        cgroup_setsockopt | cgroup_inet_sock_release }\n"
        "       ATTACH_FLAGS := { multi | override }\n"
        "       PROG := { id PROG_ID | pinned FILE | tag PROG_TAG | name PROG_NAME }\n"
        "       OPTIONS := { {-j|--json} [{-p|--pretty}] | {-d|--debug} |\n"
        "                    {-f|--bpffs} }\n",
};

}  // namespace skep::cli
