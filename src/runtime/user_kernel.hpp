// UserKernel: our kernel in this process. Everything bpf(2) can ask of a Kernel, over objects that live here:
// ids, descriptors, pins, programs, maps, BTF, links, XDP attachments, trace_pipe, statistics.
//   load.cpp            the way of a program; read it first
//   user_kernel.cpp     making it, ids, info, pins, running; user_kernel_maps.cpp, user_kernel_links.cpp: the
//   rest
// Thread-safe: one lock for the tables; programs run, verify and touch map elements outside it.
#pragma once
#include <memory>
#include <mutex>
#include <optional>

#include "helpers/async.hpp"
#include "jit/code_memory.hpp"
#include "kernel/kernel.hpp"
#include "runtime/load.hpp"
#include "runtime/pins.hpp"
#include "runtime/tables.hpp"
#include "runtime/tc_table.hpp"
#include "runtime/trace.hpp"
#include "runtime/vmlinux.hpp"
#include "runtime/xdp_table.hpp"

namespace skep::runtime {

struct Config {
  /// Holds fs/, the pins, and trace_pipe. Empty: a kernel inside one process, without pins, its trace_pipe an
  /// unnamed pipe.
  std::string directory;
  std::optional<u32> uid;  ///< who programs are loaded by; the process's own if not given
  TagHash tag_hash = TagHash::sha256;
  u32 cpus = 0;         ///< possible CPUs; 0: the machine's
  bool no_jit = false;  ///< interpret
  bool harden = false;  ///< machine code with constants blinded and retpolines
  /// Name machine code in /tmp/perf-PID.map, for perf(1) and gdb(1).
  bool perf_map = false;
  /// Say on standard error where machine code faults (jit::report_faults()): for processes that are ours.
  bool report_faults = false;
  /// Programs are verified and never run: no code is made, and helpers without code are no reason to refuse.
  bool verify_only = false;
  /// Types of the kernel, for programs that name them; outlives this. Without: what `vmlinux` holds.
  const btf::KernelBtf* kernel_btf = nullptr;
  std::string vmlinux;  ///< the file with the kernel's BTF; empty: the machine's
  /// Where the lines of bpf_trace_printk go instead of trace_pipe; outlives the kernel.
  TraceSink* trace = nullptr;
};

class UserKernel final : public Kernel {
 public:
  /// EBUSY: another instance has the directory. Errors name what could not be made.
  static Result<std::unique_ptr<UserKernel>> create(const Config& config);
  /// Detaches everything and removes the pins.
  ~UserKernel() override;

  [[nodiscard]] std::string_view kernel_name() const override { return "user"; }

  Result<Handle> map_create(const MapSpec& spec) override;
  Result<void> map_lookup_elem(int map, ByteView key, MutBytes value, u64 flags) override;
  Result<void> map_update_elem(int map, ByteView key, ByteView value, u64 flags) override;
  Result<void> map_delete_elem(int map, ByteView key) override;
  Result<void> map_get_next_key(int map, ByteView key, MutBytes next_key) override;
  Result<void> map_lookup_and_delete_elem(int map, ByteView key, MutBytes value, u64 flags) override;
  Result<void> map_freeze(int map) override;
  Result<BatchResult> map_lookup_batch(int map, ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                       MutBytes values, u32 max_count, u64 elem_flags,
                                       bool and_delete) override;
  Result<void> map_update_batch(int map, ByteView keys, ByteView values, u32 count, u64 elem_flags,
                                u32& done) override;
  Result<void> map_delete_batch(int map, ByteView keys, u32 count, u32& done) override;
  Result<MapMemory> map_memory(int map) override;
  Result<EventRing> map_events(int map, const EventSpec& spec) override;

  Result<Handle> prog_load(const ProgramSpec& spec, const LogRequest& want = {}, Log* log = nullptr) override;
  Result<TestRunResult> prog_test_run(int prog, const TestRunSpec& spec) override;
  Result<void> prog_bind_map(int prog, int map) override;
  Result<Handle> btf_load(ByteView btf, const LogRequest& want = {}, Log* log = nullptr) override;

  Result<u32> get_next_id(ObjectKind kind, u32 start_id) override;
  Result<Handle> get_fd_by_id(ObjectKind kind, u32 id) override;
  Result<u32> possible_cpus() override { return percpu_->cpus(); }

  Result<ProgramInfo> prog_info(int prog) override;
  Result<MapInfo> map_info(int map) override;
  Result<BtfInfo> btf_info(int btf) override;
  Result<LinkInfo> link_info(int link) override;

  Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) override;
  Result<Handle> obj_get(const std::string& path) override;
  Result<std::string> pin_directory() override;

  Result<Handle> link_create(const LinkSpec& spec) override;
  Result<void> link_update(int link, const LinkUpdate& update) override;
  Result<void> link_detach(int link) override;
  Result<void> xdp_attach(const XdpAttach& attach) override;
  Result<std::vector<XdpAttachment>> xdp_query() override;
  Result<void> prog_attach(const ProgAttach& attach) override;
  Result<void> prog_detach(const ProgAttach& detach) override;
  Result<std::vector<TcAttachment>> tc_query() override;
  Result<ProgQueryResult> prog_query(const ProgQuery& query) override;
  Result<u32> tap_add(const std::string& name) override;
  Result<void> tap_delete(const std::string& name) override;

  Result<UniqueFd> trace_pipe() override { return trace_->open_reader(); }
  Result<void> set_stats_enabled(bool on) override;
  Result<SymbolTable> symbols() override;
  Result<std::vector<u32>> helpers(ProgType type) override;

  // Beyond bpf(2), for whoever runs programs in this process.

  /// The XDP program behind a descriptor, to give to a hook; valid while `prog` (or a pin) refers to it.
  Result<hooks::XdpProgram> xdp_program(int prog);
  /// Runs a syscall program once, `memory` its context: all 64 bits of R0. EINVAL: another type, or it reads
  /// beyond `memory`.
  Result<u64> run_on_memory(int prog, std::span<std::byte> memory, RunContext& context);
  /// Bytes that the verifier's states took for the last program that was loaded or refused.
  [[nodiscard]] u64 verifier_memory() const { return verifier_memory_; }
  /// What a worker that is CPU `cpu` runs programs with.
  [[nodiscard]] RunContext run_context(u32 cpu);
  /// The counters of the XDP hook at an interface. ENOENT: it has no program.
  Result<hooks::XdpStats> xdp_stats(u32 ifindex);
  /// The same of a tcx hook.
  Result<hooks::TcStats> tc_stats(u32 ifindex, hooks::TcDirection direction);
  /// Readable when a pin may have gone: call sweep(). -1: there are no pins.
  [[nodiscard]] int pin_wake_fd() const { return pins_ != nullptr ? pins_->wake_fd() : -1; }
  /// Drops what only removed pins or deleted interfaces referred to. Every question about ids does so too.
  void sweep();
  [[nodiscard]] TraceRing& trace() { return *trace_; }
  /// Settings of the machine that a killed process in this directory had changed and that are back: a
  /// sentence each.
  [[nodiscard]] const std::vector<std::string>& restored_settings() const { return restored_; }

 protected:
  void close(ObjectKind kind, int fd) noexcept override;

 private:
  using Lock = std::lock_guard<std::recursive_mutex>;  // dropping an object may come back here (links)

  UserKernel(const Config& config, std::unique_ptr<maps::PercpuArea> percpu, std::unique_ptr<TraceRing> trace,
             std::unique_ptr<PinDirectory> pins);
  template <class T>
  Result<std::shared_ptr<T>> object(int fd, ObjectKind kind) {
    const Lock lock(mutex_);
    return fds_.get<T>(fd, kind);
  }
  /// For BPF_OBJ_GET_INFO_BY_FD, which has an errno of its own for a descriptor that is not open.
  template <class T>
  Result<std::shared_ptr<T>> described(int fd, ObjectKind kind) {
    auto found = object<T>(fd, kind);
    if (!found && found.error().code == EBADF) return fail(EBADFD, std::move(found.error().what));
    return found;
  }
  /// For use: not the descriptor's own reference, which counts as user space's.
  Result<maps::MapRef> map(int fd) { return TRY(object<maps::Map>(fd, ObjectKind::map))->shared_from_this(); }
  Result<std::shared_ptr<Program>> program(int fd) { return object<Program>(fd, ObjectKind::prog); }
  /// What programs and maps may have for their types: the kernel's own is refused (btf_is_kernel()).
  Result<std::shared_ptr<BtfObject>> btf(int fd);
  /// Reads the kernel's types if nobody has yet: they have an id only where there are any.
  void find_kernel_types();
  Handle open(ObjectKind kind, std::shared_ptr<void> what) {
    return {*this, kind, fds_.add(kind, std::move(what))};
  }
  [[nodiscard]] InterfaceTable::Environment interface_environment(const Config& config);
  Result<ChainPlace> chain_place(const ProgAttach& attach, std::shared_ptr<Link>& held);
  Result<Handle> tcx_link_create(const LinkSpec& spec, std::shared_ptr<Program> program);
  hooks::XdpProgram hook_program(const Program& program) const;

  /// What descriptors in map specs and values mean.
  class MapObjects final : public maps::Objects {
   public:
    explicit MapObjects(UserKernel& kernel) : kernel_(kernel) {}
    Result<maps::MapRef> map(int fd) override;
    Result<std::shared_ptr<const maps::ProgramRef>> program(int fd) override;

   private:
    UserKernel& kernel_;
  };

  std::unique_ptr<maps::PercpuArea> percpu_;
  MapObjects map_objects_{*this};
  /// The thread of timers; takes its context from here, and is stopped before anything goes.
  std::shared_ptr<AsyncRunner> async_ = std::make_shared<AsyncRunner>([this] { return run_context(0); });
  std::unique_ptr<TraceRing> trace_;
  std::recursive_mutex mutex_;
  TagHash tag_hash_;
  bool no_jit_;
  bool harden_;
  bool perf_map_;
  bool verify_only_;
  btf::KernelBtf vmlinux_;
  const btf::KernelBtf* kernel_btf_;
  std::atomic<u64> verifier_memory_{0};
  std::shared_ptr<jit::CodePool> code_pool_ = std::make_shared<jit::CodePool>();  ///< programs share it
  TraceSink* sink_;                                                               ///< trace_, or the Config's
  u32 uid_;
  std::atomic<bool> stats_{false};
  std::vector<std::string> restored_;
  u32 next_cpu_ = 0;
  // In this order: what comes first is gone last.
  InterfaceTable interfaces_;
  XdpTable xdp_;
  TcTable tc_;
  IdTable<Program> programs_;
  IdTable<maps::Map> maps_;
  IdTable<BtfObject> btfs_;
  std::shared_ptr<BtfObject> kernel_types_;  ///< of kernel_btf_, the first of the ids; null: there are none
  IdTable<Link> links_;
  std::unique_ptr<PinDirectory> pins_;
  DescriptorTable fds_;
};

}  // namespace skep::runtime
