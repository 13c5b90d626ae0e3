// The seam: bpf(2) as a C++ interface. One method per bpf(2) command, on plain values, with errno-carrying
// results. Three classes implement it: UserKernel (runtime/), RemoteKernel and LinuxKernel (client/).
// Everything above it works on a Kernel& and cannot tell which one it has. No behaviour here.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "isa/insn.hpp"
#include "kernel/uapi.hpp"

namespace skep {

class Kernel;

/// What bpf(2) hands out descriptors for.
enum class ObjectKind : u8 { prog, map, btf, link };
[[nodiscard]] std::string_view object_kind_name(ObjectKind kind);  ///< "prog", "map", "btf", "link"

/// A reference to a kernel object, as a file descriptor is one for bpf(2): the object lives while a Handle,
/// a pin, a link or another object refers to it. `fd()` is a number that this Kernel understands: a real
/// descriptor for LinuxKernel and RemoteKernel, an index into the caller's table for UserKernel. It may
/// stand in instructions (ld_imm64 src=1) and in specs.
class Handle {
 public:
  Handle() = default;
  Handle(Kernel& kernel, ObjectKind kind, int fd) : kernel_(&kernel), fd_(fd), kind_(kind) {}
  Handle(Handle&& other) noexcept { *this = std::move(other); }
  Handle& operator=(Handle&& other) noexcept;
  ~Handle() { reset(); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] ObjectKind kind() const { return kind_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  Kernel* kernel_ = nullptr;
  int fd_ = -1;
  ObjectKind kind_ = ObjectKind::prog;
};

/// BPF_MAP_CREATE. Descriptors are Handle::fd() numbers of the same Kernel; -1 or 0 means none, as noted.
struct MapSpec {
  MapType type = MapType::unspec;
  u32 key_size = 0;
  u32 value_size = 0;
  u32 max_entries = 0;
  u32 flags = 0;
  std::string name;  ///< at most 15 characters of [A-Za-z0-9_.]
  int inner_map_fd = -1;
  u32 numa_node = 0;
  u32 ifindex = 0;
  int btf_fd = -1;  ///< -1: no BTF
  u32 btf_key_type_id = 0;
  u32 btf_value_type_id = 0;
  u32 btf_vmlinux_value_type_id = 0;
  u64 map_extra = 0;
};

/// One struct bpf_func_info / bpf_line_info / bpf_core_relo record array as it goes to the kernel.
struct InfoRecords {
  u32 record_size = 0;
  std::vector<std::byte> bytes;
  [[nodiscard]] u32 count() const {
    return record_size == 0 ? 0 : static_cast<u32>(bytes.size() / record_size);
  }
};

/// BPF_PROG_LOAD.
struct ProgramSpec {
  ProgType type = ProgType::unspec;
  AttachType expected_attach_type{};
  std::string name;
  std::vector<isa::Insn> insns;
  std::optional<std::string> license;  ///< none: EFAULT, as a null pointer gives
  u32 flags = 0;
  u32 kern_version = 0;
  u32 ifindex = 0;
  int btf_fd = -1;
  InfoRecords func_info;
  InfoRecords line_info;
  InfoRecords core_relos;
  u32 attach_btf_id = 0;
  int attach_prog_fd = -1;
  std::vector<int> fd_array;
};

/// The verifier's log: what the caller wants of it, and what came back (also when the load failed).
struct LogRequest {
  u32 level = 0;  ///< 1: on error; 2: every state; 4: statistics; 8: fixed, not rotating
  u32 size = 0;   ///< bytes of the caller's buffer, NUL included; with level 0 it must be 0
};
struct Log {
  std::string text;
  u32 true_size = 0;
};

/// BPF_PROG_TEST_RUN.
struct TestRunSpec {
  std::vector<std::byte> data_in;
  std::vector<std::byte> ctx_in;
  u32 data_out_size = 0;  ///< capacity; a longer result gives ENOSPC with the bytes that fit
  u32 ctx_out_size = 0;
  u32 repeat = 0;
  u32 flags = 0;
  u32 cpu = 0;
  u32 batch_size = 0;
  /// Asked between repeats, on the calling thread: true ends the run with EINTR, as a signal does for bpf(2).
  std::function<bool()> interrupted;
};
struct TestRunResult {
  u32 retval = 0;
  u32 duration = 0;  ///< ns, mean over the repeats
  std::vector<std::byte> data_out;
  std::vector<std::byte> ctx_out;
  u32 data_size_out = 0;  ///< the true size, also where data_out was cut
  u32 ctx_size_out = 0;
};

/// struct bpf_prog_info with its arrays.
struct ProgramInfo {
  ProgType type{};
  u32 id = 0;
  u64 tag = 0;  ///< eight bytes, first byte of the tag in the most significant place
  std::string name;
  std::vector<isa::Insn> xlated;  ///< map references as src=1/2 with the map id, calls as the kernel shows
  u32 xlated_len = 0;             ///< bytes
  std::vector<std::byte> jited;   ///< machine code; empty if none
  u32 jited_len = 0;              ///< bytes
  u64 load_time_ns = 0;           ///< CLOCK_BOOTTIME
  u32 created_by_uid = 0;
  std::vector<u32> map_ids;
  u32 ifindex = 0;
  bool gpl_compatible = false;
  u64 netns_dev = 0;
  u64 netns_ino = 0;
  std::vector<u64> jited_ksyms;  ///< address of each subprogram
  std::vector<u32> jited_func_lens;
  u32 btf_id = 0;
  InfoRecords func_info;
  InfoRecords line_info;             ///< insn_off in terms of `xlated`
  std::vector<u64> jited_line_info;  ///< address for each line_info record
  std::vector<u64> prog_tags;        ///< one per subprogram
  u64 run_time_ns = 0;
  u64 run_cnt = 0;
  u64 recursion_misses = 0;
  u32 verified_insns = 0;
  u32 attach_btf_obj_id = 0;
  u32 attach_btf_id = 0;
  u32 bytes_memlock = 0;  ///< of /proc/self/fdinfo, which bpftool prints; 0 if not known
  bool orphaned = false;
};

/// struct bpf_map_info, and what bpftool reads from fdinfo.
struct MapInfo {
  MapType type{};
  u32 id = 0;
  u32 key_size = 0;
  u32 value_size = 0;
  u32 max_entries = 0;
  u32 flags = 0;
  std::string name;
  u32 ifindex = 0;
  u32 btf_vmlinux_value_type_id = 0;
  u64 netns_dev = 0;
  u64 netns_ino = 0;
  u32 btf_id = 0;
  u32 btf_key_type_id = 0;
  u32 btf_value_type_id = 0;
  u64 map_extra = 0;
  u64 bytes_memlock = 0;
  bool frozen = false;
  std::optional<ProgType> owner_prog_type;  ///< of a prog_array
  bool owner_jited = false;
};

/// struct bpf_btf_info.
struct BtfInfo {
  u32 id = 0;
  std::string name;
  bool kernel_btf = false;
  std::vector<std::byte> data;
  u32 size = 0;
};

/// struct bpf_link_info. Only the fields of `type` are meaningful.
struct LinkInfo {
  LinkType type{};
  u32 id = 0;
  u32 prog_id = 0;
  u32 ifindex = 0;           ///< xdp, tcx, netkit
  AttachType attach_type{};  ///< tcx, cgroup, tracing
  u64 cgroup_id = 0;
  std::string tp_name;  ///< raw_tracepoint
  u32 netns_ino = 0;
  u64 cookie = 0;
};

/// BPF_LINK_CREATE.
struct LinkSpec {
  int prog_fd = -1;
  int target_fd = -1;
  u32 target_ifindex = 0;
  AttachType attach_type{};
  u32 flags = 0;
  // tcx: where in the chain
  int relative_fd = -1;
  u32 relative_id = 0;
  u64 expected_revision = 0;
};

/// BPF_LINK_UPDATE.
struct LinkUpdate {
  int new_prog_fd = -1;
  u32 flags = 0;  ///< F_REPLACE (4): only if the old program is old_prog_fd
  int old_prog_fd = -1;
};

/// BPF_PROG_ATTACH and BPF_PROG_DETACH. `flags`, `relative_*` and `expected_revision` say where in a chain of
/// several programs (tcx), as uapi::F_BEFORE and its siblings have it.
struct ProgAttach {
  int prog_fd = -1;  ///< detaching: -1 takes the one that the flags say, the last without any
  int target_fd = -1;
  u32 target_ifindex = 0;
  AttachType attach_type{};
  u32 flags = 0;
  int replace_fd = -1;   ///< with F_REPLACE
  int relative_fd = -1;  ///< a program's, or with F_LINK a link's
  u32 relative_id = 0;   ///< with F_ID
  u64 expected_revision = 0;
};

/// An XDP program of an interface, as rtnetlink's IFLA_XDP sets and reports it (not a bpf(2) command).
struct XdpAttach {
  u32 ifindex = 0;
  int prog_fd = -1;      ///< -1 detaches
  u32 flags = 0;         ///< uapi::XDP_FLAGS_*
  int expected_fd = -1;  ///< with XDP_FLAGS_REPLACE
  /// One of several programs of the interface, in the order of their priorities, as libxdp's dispatcher runs
  /// them (LinuxKernel: EOPNOTSUPP). Detaching: the program `expected_fd` alone.
  bool chained = false;
  u32 priority = default_priority;
  u32 chain_call = default_chain_call;  ///< bits 1 << XDP_*: results with which the next program runs
  static constexpr u32 default_priority = 50, default_chain_call = 1u << 2;  // XDP_PASS
};
/// One of several XDP programs of an interface.
struct XdpChainEntry {
  u32 prog_id = 0;
  u32 priority = 0;
  u32 chain_call = 0;
};
enum class XdpMode : u8 { none = 0, driver = 1, generic = 2, offload = 3, multi = 4 };
struct XdpAttachment {
  u32 ifindex = 0;
  std::string ifname;
  XdpMode mode = XdpMode::none;
  u32 prog_id = 0;
  u32 drv_prog_id = 0, skb_prog_id = 0, hw_prog_id = 0;  ///< with XdpMode::multi
  std::vector<XdpChainEntry> chain{};                    ///< in their order; prog_id is the first one's
};

/// A program at a tc hook of an interface (`net list` prints them).
struct TcAttachment {
  u32 ifindex = 0;
  std::string ifname;
  std::string kind;  ///< "tcx/ingress", "tcx/egress", "clsact/ingress", ...
  std::string name;
  u32 prog_id = 0;
  u32 link_id = 0;
};

/// BPF_PROG_QUERY.
struct ProgQuery {
  int target_fd = -1;
  u32 target_ifindex = 0;
  AttachType attach_type{};
  u32 query_flags = 0;
};
struct ProgQueryResult {
  u32 attach_flags = 0;
  std::vector<u32> prog_ids;
  std::vector<u32> link_ids;
  u64 revision = 0;
};

/// The shareable memory of an mmapable map.
struct MapMemory {
  UniqueFd fd;  ///< to be mmapped MAP_SHARED; read-only once the map is frozen
  u64 offset = 0;
  u64 size = 0;
  u32 stride = 0;  ///< bytes from one element to the next
  // Ring buffers: `fd` has, at `offset`, the producer's position (a page) and the data, twice its size.
  UniqueFd consumer{};  ///< a page, at 0: the consumer's position
  UniqueFd wake{};      ///< readable when the other side has something
};

/// A symbol that `call` instructions and map pointers of xlated code refer to (/proc/kallsyms).
struct Symbol {
  u64 address = 0;
  std::string name;
};
struct SymbolTable {
  u64 call_base = 0;            ///< __bpf_call_base: a call's target is call_base + imm
  std::vector<Symbol> symbols;  ///< sorted by address
};

struct BatchResult {
  u32 count = 0;     ///< elements done
  bool end = false;  ///< ENOENT: the map is exhausted
};

/// The descriptor that stands in the values of a map when bpf(2) writes them.
struct ValueDescriptor {
  ObjectKind kind{};
  u32 offset = 0;         ///< of the s32 in the value
  bool optional = false;  ///< 0 and negative numbers mean none
};
[[nodiscard]] std::optional<ValueDescriptor> descriptor_in_value(MapType type, u32 value_size);

/// A perf event that takes what programs output to a perf_event_array (perf_event_open(2) of
/// PERF_COUNT_SW_BPF_OUTPUT, which stands in a slot of the map).
struct EventSpec {
  u32 cpu = 0;     ///< whose output it takes; a program on another one gets EOPNOTSUPP
  u32 index = 0;   ///< the slot of the map, which it takes over
  u32 pages = 16;  ///< of data: a power of two
};
/// Its ring, as perf_event_open(2) lays it out: a page with the positions (struct perf_event_mmap_page), then
/// the data, in which records are PERF_RECORD_SAMPLE with PERF_SAMPLE_TIME and PERF_SAMPLE_RAW, or
/// PERF_RECORD_LOST.
struct EventRing {
  UniqueFd memory;  ///< to be mmapped MAP_SHARED
  u64 size = 0;     ///< of all of it
  /// Readable when there is something new; a hang-up when the kernel has gone. Closing every copy of it takes
  /// the event out of its slot.
  UniqueFd wake;
};

class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel();

  /// "user", "remote" or "linux".
  [[nodiscard]] virtual std::string_view kernel_name() const = 0;

  // Maps. `map` is a map Handle's fd; key and value lengths are key_size() and the user-visible value size
  // (per-CPU maps: possible CPUs x value size rounded up to 8); a wrong length is EINVAL.
  virtual Result<Handle> map_create(const MapSpec& spec) = 0;
  virtual Result<void> map_lookup_elem(int map, ByteView key, MutBytes value, u64 flags = 0) = 0;
  virtual Result<void> map_update_elem(int map, ByteView key, ByteView value, u64 flags) = 0;
  virtual Result<void> map_delete_elem(int map, ByteView key) = 0;
  /// An empty key asks for the first one. ENOENT at the end.
  virtual Result<void> map_get_next_key(int map, ByteView key, MutBytes next_key) = 0;
  virtual Result<void> map_lookup_and_delete_elem(int map, ByteView key, MutBytes value, u64 flags = 0) = 0;
  virtual Result<void> map_freeze(int map) = 0;
  /// BPF_MAP_{LOOKUP,LOOKUP_AND_DELETE}_BATCH. `in_batch` empty: from the beginning; `out_batch` is the
  /// opaque position (4 bytes for hashes and arrays). `keys`, `values` hold `max_count` elements.
  virtual Result<BatchResult> map_lookup_batch(int map, ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                               MutBytes values, u32 max_count, u64 elem_flags,
                                               bool and_delete) = 0;
  /// `done`: how many elements were written or deleted, also when one of them failed.
  virtual Result<void> map_update_batch(int map, ByteView keys, ByteView values, u32 count, u64 elem_flags,
                                        u32& done) = 0;
  virtual Result<void> map_delete_batch(int map, ByteView keys, u32 count, u32& done) = 0;
  virtual Result<MapMemory> map_memory(int map) = 0;
  /// Puts a perf event in a slot of a perf_event_array. EINVAL: no such map, or `pages` is no power of two;
  /// E2BIG: there is no such slot; ENODEV: no such CPU.
  virtual Result<EventRing> map_events(int map, const EventSpec& spec);

  // Programs.
  virtual Result<Handle> prog_load(const ProgramSpec& spec, const LogRequest& want = {},
                                   Log* log = nullptr) = 0;
  virtual Result<TestRunResult> prog_test_run(int prog, const TestRunSpec& spec) = 0;
  virtual Result<void> prog_bind_map(int prog, int map) = 0;
  virtual Result<Handle> btf_load(ByteView btf, const LogRequest& want = {}, Log* log = nullptr) = 0;

  // Ids. ENOENT after the last one.
  virtual Result<u32> get_next_id(ObjectKind kind, u32 start_id) = 0;
  virtual Result<Handle> get_fd_by_id(ObjectKind kind, u32 id) = 0;
  /// How many CPUs per-CPU values have (num_possible_cpus).
  virtual Result<u32> possible_cpus() = 0;

  // Info.
  virtual Result<ProgramInfo> prog_info(int prog) = 0;
  virtual Result<MapInfo> map_info(int map) = 0;
  virtual Result<BtfInfo> btf_info(int btf) = 0;
  virtual Result<LinkInfo> link_info(int link) = 0;

  // Pins. Paths are absolute and under /sys/fs/bpf; UserKernel maps them under its own fs/ directory.
  virtual Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) = 0;
  virtual Result<Handle> obj_get(const std::string& path) = 0;  ///< the Handle knows its kind
  /// The real directory that stands for /sys/fs/bpf (it is /sys/fs/bpf for LinuxKernel).
  virtual Result<std::string> pin_directory() = 0;

  // Links and attachments.
  virtual Result<Handle> link_create(const LinkSpec& spec) = 0;
  virtual Result<void> link_update(int link, const LinkUpdate& update) = 0;
  virtual Result<void> link_detach(int link) = 0;
  virtual Result<void> prog_attach(const ProgAttach& attach);
  virtual Result<void> prog_detach(const ProgAttach& detach);
  // Interfaces are those of the calling thread's network namespace: a daemon calls these on a thread that has
  // joined its client's (so do whatever opens sockets on the calling thread).
  /// The error's `what` is the kernel's extended-ack text ("XDP program already attached") or empty.
  virtual Result<void> xdp_attach(const XdpAttach& attach) = 0;
  virtual Result<std::vector<XdpAttachment>> xdp_query() = 0;
  virtual Result<std::vector<TcAttachment>> tc_query() = 0;
  virtual Result<ProgQueryResult> prog_query(const ProgQuery& query) = 0;
  /// A TAP interface of this kernel's own, in the caller's network namespace, which it keeps until
  /// tap_delete() or its end: what the host sends into it is what an XDP program attached to it receives.
  /// Returns its index. EOPNOTSUPP: this kernel makes none (LinuxKernel: `ip tuntap` does).
  virtual Result<u32> tap_add(const std::string& name);
  /// ENODEV: there is no such TAP of this kernel's own.
  virtual Result<void> tap_delete(const std::string& name);

  // Tracing and statistics.
  /// Opens trace_pipe for reading: blocking reads of whole lines.
  virtual Result<UniqueFd> trace_pipe() = 0;
  /// BPF_ENABLE_STATS's lasting form, kernel.bpf_stats_enabled.
  virtual Result<void> set_stats_enabled(bool on) = 0;
  virtual Result<SymbolTable> symbols() = 0;
  /// The ids of the helpers that programs of this type can call, ascending. EOPNOTSUPP: that cannot be found
  /// out (Linux: of types that need more than a type to be loaded).
  virtual Result<std::vector<u32>> helpers(ProgType type);

 protected:
  friend class Handle;
  virtual void close(ObjectKind kind, int fd) noexcept = 0;
};

}  // namespace skep
