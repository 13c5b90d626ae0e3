// LinuxKernel without the network part (client/linux_net.cpp): the system call, and the files of proc, sysfs,
// bpffs and tracefs that belong to it.
#include "client/linux_kernel.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace skep::client {

namespace {

constexpr long kBpfFsMagic = 0xcafe4a11;
constexpr long kTraceFsMagic = 0x74726163;

bool is_filesystem(const std::string& path, long magic) {
  struct statfs info{};
  return ::statfs(path.c_str(), &info) == 0 && static_cast<long>(info.f_type) == magic;
}

template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

/// Calls line(text) for each line of `text`.
template <class F>
void each_line(std::string_view text, F&& line) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) return fail_errno(path);
  return {};
}

}  // namespace

Result<u32> count_cpus(std::string_view list) {
  u32 highest = 0;
  bool any = false;
  list = trimmed(list);
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view range = list.substr(0, comma);
    const std::size_t dash = range.find('-');
    const auto last = number<u32>(dash == range.npos ? range : range.substr(dash + 1));
    const auto first = dash == range.npos ? last : number<u32>(range.substr(0, dash));
    if (!first || !last || *last < *first || *last > 0xffff) return fail(EINVAL, "not a list of CPUs");
    highest = std::max(highest, *last);
    any = true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  if (!any) return fail(EINVAL, "not a list of CPUs");
  return highest + 1;
}

Result<int> LinuxKernel::bpf(const BpfCall& call) {
  long result = -1;
  // The verifier gives EAGAIN when a signal interrupts it: nothing has happened yet.
  for (int attempt = 0; attempt < 5; ++attempt) {
    result = ::syscall(SYS_bpf, call.cmd(), call.attr().data(), call.attr().size());
    if (result >= 0 || errno != EAGAIN || call.cmd() != static_cast<u32>(Cmd::prog_load)) break;
  }
  if (result < 0) return fail(errno, fmt::format("bpf(2) command {}: {}", call.cmd(), errno_text(errno)));
  return static_cast<int>(result);
}

Result<ObjectKind> LinuxKernel::kind_of(int fd) {
  std::array<char, 64> target{};
  const ssize_t size = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), target.data(), target.size());
  if (size < 0) return fail(EBADF, fmt::format("{} is no descriptor", fd));
  const std::string_view text(target.data(), static_cast<std::size_t>(size));
  if (text.find("bpf-prog") != text.npos) return ObjectKind::prog;
  if (text.find("bpf-map") != text.npos) return ObjectKind::map;
  if (text.find("bpf_link") != text.npos) return ObjectKind::link;
  if (text.find("btf") != text.npos) return ObjectKind::btf;
  return fail(EINVAL, fmt::format("{} is no BPF object but {}", fd, text));
}

Result<FdInfo> LinuxKernel::fd_info(ObjectKind, int fd) {
  FdInfo info;
  const auto text = read_file(fmt::format("/proc/self/fdinfo/{}", fd));
  if (!text) return info;  // no /proc: what it says is not known, as for bpftool
  each_line(*text, [&](std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return;
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (key == "memlock") info.memlock = number<u64>(value).value_or(0);
    if (key == "frozen") info.frozen = value == "1";
    if (key == "owner_prog_type") {
      if (const auto type = number<u32>(value)) info.owner_prog_type = static_cast<ProgType>(*type);
    }
    if (key == "owner_jited") info.owner_jited = value == "1";
  });
  return info;
}

Result<void> LinuxKernel::obj_pin(int object, ObjectKind kind, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (options_.mount_bpffs && !is_filesystem(parent, kBpfFsMagic) && ::access(parent.c_str(), F_OK) == 0) {
    if (::mount("bpf", parent.c_str(), "bpf", 0, "mode=0700") < 0)
      return fail_errno(fmt::format("mounting a BPF file system on {}", parent));
  }
  return AttrKernel::obj_pin(object, kind, path);
}

Result<std::string> LinuxKernel::pin_directory() { return std::string("/sys/fs/bpf"); }

Result<u32> LinuxKernel::possible_cpus() {
  if (!possible_cpus_) possible_cpus_ = TRY(count_cpus(TRY(read_file("/sys/devices/system/cpu/possible"))));
  return *possible_cpus_;
}

Result<MapMemory> LinuxKernel::map_memory(int map) {
  const MapInfo info = TRY(map_info(map));
  const bool ring = info.type == MapType::ringbuf || info.type == MapType::user_ringbuf;
  if (!ring && (info.type != MapType::array || (info.flags & uapi::F_MMAPABLE) == 0))
    return fail(EINVAL, "only ring buffers, and arrays made with BPF_F_MMAPABLE, can be mapped");
  const auto copy = [map]() -> Result<UniqueFd> {
    UniqueFd fd(::fcntl(map, F_DUPFD_CLOEXEC, 0));
    if (!fd) return fail_errno("dup");
    return fd;
  };
  const u64 page = static_cast<u64>(::sysconf(_SC_PAGESIZE));
  MapMemory memory;
  memory.fd = TRY(copy());
  if (ring) {
    memory.offset = page;
    memory.size = page + 2 * u64{info.max_entries};
    memory.consumer = TRY(copy());
    memory.wake = TRY(copy());
    return memory;
  }
  memory.stride = (info.value_size + 7) & ~7u;
  memory.size = (u64{memory.stride} * info.max_entries + page - 1) / page * page;
  return memory;
}

Result<EventRing> LinuxKernel::map_events(int map, const EventSpec& spec) {
  if (const MapInfo info = TRY(map_info(map)); info.type != MapType::perf_event_array)
    return fail(EINVAL, fmt::format("map {}: only a perf_event_array has events", info.id));
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_BPF_OUTPUT;
  attr.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_RAW;
  attr.sample_period = 1;
  attr.wakeup_events = 1;
  EventRing ring;
  ring.size = (1 + u64{spec.pages}) * static_cast<u64>(::sysconf(_SC_PAGESIZE));
  ring.memory.reset(static_cast<int>(::syscall(SYS_perf_event_open, &attr, -1, spec.cpu, -1,
                                               static_cast<unsigned long>(PERF_FLAG_FD_CLOEXEC))));
  if (!ring.memory) return fail_errno(fmt::format("a perf event on CPU {}", spec.cpu));
  const int event = ring.memory.get();
  if (::ioctl(event, PERF_EVENT_IOC_ENABLE, 0) < 0) return fail_errno("a perf event");
  TRY(map_update_elem(map, bytes_of(spec.index), bytes_of(event), uapi::ANY));
  ring.wake = TRY(ring.memory.duplicate());
  return ring;
}

Result<UniqueFd> LinuxKernel::trace_pipe() {
  for (const char* directory : {"/sys/kernel/debug/tracing", "/sys/kernel/tracing"}) {
    if (!is_filesystem(directory, kTraceFsMagic)) continue;
    const std::string path = std::string(directory) + "/trace_pipe";
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno(path);
    return fd;
  }
  // As bpftool: mount it where it belongs.
  if (options_.mount_bpffs && ::mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) == 0) {
    UniqueFd fd(::open("/sys/kernel/tracing/trace_pipe", O_RDONLY | O_CLOEXEC));
    if (fd) return fd;
  }
  return fail(ENOENT, "tracefs is mounted neither on /sys/kernel/debug/tracing nor on /sys/kernel/tracing");
}

Result<void> LinuxKernel::set_stats_enabled(bool on) {
  return write_file("/proc/sys/kernel/bpf_stats_enabled", on ? "1" : "0");
}

Result<SymbolTable> LinuxKernel::symbols() {
  SymbolTable table;
  const std::string text = TRY(read_file("/proc/kallsyms"));
  each_line(text, [&](std::string_view line) {
    // "ffffffff81000000 T _text [module]"
    const std::size_t space = line.find(' ');
    if (space == line.npos || space + 3 > line.size()) return;
    const auto address = number<u64>(line.substr(0, space), 16);
    if (!address || *address == 0) return;  // 0: hidden from this user
    std::string_view name = line.substr(space + 3);
    name = name.substr(0, name.find_first_of(" \t"));
    if (name == "__bpf_call_base") table.call_base = *address;
    table.symbols.push_back({*address, std::string(name)});
  });
  std::ranges::sort(table.symbols, {}, &Symbol::address);
  return table;
}

}  // namespace skep::client
