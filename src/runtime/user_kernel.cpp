// See user_kernel.hpp: construction, programs and BTF, ids, info, pins, symbols. Maps and attachments stand
// in files of their own.
#include "runtime/user_kernel.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/limits.hpp"
#include "base/rcu.hpp"
#include "helpers/kernel_functions.hpp"
#include "helpers/table.hpp"
#include "jit/fault.hpp"
#include "runtime/code_names.hpp"
#include "runtime/test_run.hpp"

namespace skep::runtime {

namespace {
/// In memory only where there is no directory.
net::SettingsJournal settings_journal(const Config& config) {
  return net::SettingsJournal(config.directory.empty() ? "" : config.directory + "/settings");
}
}  // namespace

Result<std::unique_ptr<UserKernel>> UserKernel::create(const Config& config) {
  const u32 cpus =
      config.cpus != 0 ? config.cpus : static_cast<u32>(std::max(1L, ::sysconf(_SC_NPROCESSORS_CONF)));
  auto percpu = TRY(maps::PercpuArea::create(cpus));
  std::unique_ptr<PinDirectory> pins;
  std::optional<std::string> fifo;
  if (!config.directory.empty()) {
    if (::mkdir(config.directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(config.directory);
    pins = TRY(PinDirectory::open(config.directory + "/fs"));  // its lock says whether we are the only one
    fifo = config.directory + "/trace_pipe";
  }
  auto trace = TRY(TraceRing::create(fifo));
  std::unique_ptr<UserKernel> kernel(
      new UserKernel(config, std::move(percpu), std::move(trace), std::move(pins)));
  if (config.report_faults) TRY(jit::report_faults());
  if (!config.directory.empty()) kernel->restored_ = settings_journal(config).restore();
  return kernel;
}

UserKernel::UserKernel(const Config& config, std::unique_ptr<maps::PercpuArea> percpu,
                       std::unique_ptr<TraceRing> trace, std::unique_ptr<PinDirectory> pins)
    : percpu_(std::move(percpu)),
      trace_(std::move(trace)),
      tag_hash_(config.tag_hash),
      no_jit_(config.no_jit),
      harden_(config.harden),
      perf_map_(config.perf_map),
      verify_only_(config.verify_only),
      vmlinux_(vmlinux_source(config.vmlinux), config.vmlinux.empty() ? machine_symbols() : nullptr),
      kernel_btf_(config.kernel_btf != nullptr ? config.kernel_btf : &vmlinux_),
      sink_(config.trace != nullptr ? config.trace : trace_.get()),
      uid_(config.uid.value_or(::getuid())),
      interfaces_(interface_environment(config)),
      xdp_(interfaces_),
      tc_(interfaces_),
      kernel_types_(std::make_shared<BtfObject>(BtfObject{0, {}, kernel_btf_})),
      pins_(std::move(pins)) {
  kernel_types_->id = btfs_.add(kernel_types_);
}

UserKernel::~UserKernel() {
  async_->stop();
  {
    const Lock lock(mutex_);
    fds_ = {};
    if (pins_ != nullptr) pins_->remove_all();
    xdp_.detach_all();
    tc_.detach_all();
  }
  // Elements of maps give per-CPU memory back late; programs that stood in maps go late, and their maps then.
  for (int i = 0; i < 3; ++i) rcu::barrier();
}

void UserKernel::close(ObjectKind, int fd) noexcept {
  const Lock lock(mutex_);
  const std::shared_ptr<void> last = fds_.remove(fd);  // goes before the lock does
}

void UserKernel::sweep() {
  const Lock lock(mutex_);
  if (pins_ != nullptr) pins_->sweep();
  xdp_.sweep();
  tc_.sweep();
  for (const Place place : interfaces_.gone_taps()) {
    xdp_.detach_all_at(place);
    tc_.detach_all_at(place);
    interfaces_.delete_tap(place);
  }
}

// Programs.

Result<Handle> UserKernel::prog_load(const ProgramSpec& spec, const LogRequest& want, Log* log) {
  LoadEnvironment environment;
  environment.map_by_fd = [this](int fd) { return map(fd); };
  environment.btf_by_fd = [this](int fd) { return btf(fd); };
  environment.program_by_fd = [this](int fd) { return program(fd); };
  environment.tag_hash = tag_hash_;
  environment.uid = uid_;
  environment.no_jit = no_jit_;
  environment.harden = harden_;
  environment.verify_only = verify_only_;
  environment.code_pool = code_pool_;
  environment.cpus = percpu_->cpus();
  environment.vmlinux = kernel_btf_;
  environment.verifier_memory = [this](u64 bytes) { verifier_memory_ = bytes; };
  auto loaded = TRY(load_program(spec, want, log, environment));
  const Lock lock(mutex_);
  loaded->id = programs_.add(loaded);
  name_in_fault_reports(*loaded);
  if (perf_map_)
    if (auto written = write_perf_map(*loaded); !written) return std::unexpected(std::move(written).error());
  return open(ObjectKind::prog, std::move(loaded));
}

Result<TestRunResult> UserKernel::prog_test_run(int prog, const TestRunSpec& spec) {
  const auto held = TRY(program(prog));
  const int here = ::sched_getcpu();
  const u32 cpu = here < 0 ? 0 : static_cast<u32>(here) % percpu_->cpus();
  return test_run(*held, spec, run_context(cpu), stats_.load(std::memory_order_relaxed));
}

Result<void> UserKernel::prog_bind_map(int prog, int map_fd) {
  const Lock lock(mutex_);
  const auto held = TRY(program(prog));
  auto bound = TRY(map(map_fd));
  if (std::ranges::find(held->maps, bound) == held->maps.end()) held->maps.push_back(std::move(bound));
  return {};
}

Result<std::shared_ptr<BtfObject>> UserKernel::btf(int fd) {
  auto held = TRY(object<BtfObject>(fd, ObjectKind::btf));
  if (held->kernel != nullptr) return fail(EACCES, "the types of the kernel are nobody else's");
  return held;
}

Result<Handle> UserKernel::btf_load(ByteView bytes, const LogRequest& want, Log* log) {
  if (bytes.size() > limits::btf_max_size) return fail(E2BIG, fmt::format("BTF of {} bytes", bytes.size()));
  auto parsed = btf::Btf::parse({bytes.begin(), bytes.end()});
  if (!parsed) {
    if (log != nullptr && want.level != 0) {
      log->text = parsed.error().what.substr(0, want.size == 0 ? 0 : want.size - 1);
      log->true_size = static_cast<u32>(parsed.error().what.size()) + 1;
    }
    return std::unexpected(std::move(parsed).error());
  }
  auto object = std::make_shared<BtfObject>(BtfObject{0, *std::move(parsed), nullptr});
  const Lock lock(mutex_);
  object->id = btfs_.add(object);
  return open(ObjectKind::btf, std::move(object));
}

RunContext UserKernel::run_context(u32 cpu) {
  RunContext run;
  run.cpu = cpu % percpu_->cpus();
  run.percpu_offset = percpu_->offset_of(run.cpu);
  run.trace = sink_;
  run.percpu = percpu_.get();
  run.async = async_.get();
  u64 seed = 0;
  if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed && seed != 0) run.prandom_state = seed;
  return run;
}

hooks::XdpProgram UserKernel::hook_program(const Program& program) const {
  hooks::XdpProgram hook;
  hook.entry = program.entry(stats_.load(std::memory_order_relaxed));
  hook.burst = program.burst_entry(stats_.load(std::memory_order_relaxed));
  hook.id = program.id;
  hook.set_name(program.name);
  return hook;
}

InterfaceTable::Environment UserKernel::interface_environment(const Config& config) {
  return {[this] { return run_context(next_cpu_++); },
          [this](const Program& program) { return hook_program(program); }, settings_journal(config)};
}

Result<hooks::XdpProgram> UserKernel::xdp_program(int prog) {
  const auto held = TRY(program(prog));
  if (held->type != ProgType::xdp)
    return fail(EINVAL, fmt::format("program {} is not an XDP program", held->id));
  return hook_program(*held);
}

Result<u64> UserKernel::run_on_memory(int prog, std::span<std::byte> memory, RunContext& context) {
  const auto held = TRY(program(prog));
  if (held->type != ProgType::syscall)
    return fail(EINVAL, fmt::format("program {} is not a syscall program", held->id));
  if (memory.size() < held->max_ctx_offset)
    return fail(EINVAL, fmt::format("the program reads {} bytes of memory, and there are {}",
                                    held->max_ctx_offset, memory.size()));
  return held->entry(stats_.load(std::memory_order_relaxed))(memory.data(), &context);
}

Result<void> UserKernel::set_stats_enabled(bool on) {
  const Lock lock(mutex_);
  stats_.store(on, std::memory_order_relaxed);
  interfaces_.refresh();
  return {};
}

// Ids.

void UserKernel::find_kernel_types() {
  if (kernel_types_ != nullptr && kernel_btf_->types() == nullptr) kernel_types_ = nullptr;
}

Result<u32> UserKernel::get_next_id(ObjectKind kind, u32 start_id) {
  const Lock lock(mutex_);
  sweep();
  if (start_id >= INT32_MAX) return fail(EINVAL, "start_id is beyond every id");
  u32 id = 0;
  switch (kind) {
    case ObjectKind::prog:
      id = programs_.next_after(start_id);
      break;
    case ObjectKind::map:
      id = maps_.next_after(start_id);
      break;
    case ObjectKind::btf:
      find_kernel_types();
      id = btfs_.next_after(start_id);
      break;
    case ObjectKind::link:
      id = links_.next_after(start_id);
      break;
  }
  if (id == 0) return fail(ENOENT, fmt::format("no {} after id {}", object_kind_name(kind), start_id));
  return id;
}

Result<Handle> UserKernel::get_fd_by_id(ObjectKind kind, u32 id) {
  const Lock lock(mutex_);
  sweep();
  std::shared_ptr<void> found;
  switch (kind) {
    case ObjectKind::prog:
      found = programs_.find(id);
      break;
    case ObjectKind::map:
      if (const auto map = maps_.find(id); map != nullptr) found = map->user_reference();
      break;
    case ObjectKind::btf:
      find_kernel_types();
      found = btfs_.find(id);
      break;
    case ObjectKind::link:
      found = links_.find(id);
      break;
  }
  if (found == nullptr)
    return fail(ENOENT, fmt::format("there is no {} with id {}", object_kind_name(kind), id));
  return open(kind, std::move(found));
}

// Info.

Result<ProgramInfo> UserKernel::prog_info(int prog) {
  const Lock lock(mutex_);
  return describe(*TRY(described<Program>(prog, ObjectKind::prog)));
}

Result<BtfInfo> UserKernel::btf_info(int fd) {
  const auto held = TRY(described<BtfObject>(fd, ObjectKind::btf));
  BtfInfo info;
  info.id = held->id;
  if (held->kernel != nullptr) {
    info.kernel_btf = true;
    info.name = "vmlinux";
  }
  const btf::Btf* types = held->kernel != nullptr ? held->kernel->types() : &held->btf;
  if (types == nullptr) return fail(ENOENT, "there are no types of the kernel");
  info.data = types->bytes();
  info.size = static_cast<u32>(info.data.size());
  return info;
}

Result<std::vector<u32>> UserKernel::helpers(ProgType type) {
  constexpr u32 tail_call = 12;  // the engines' own
  std::vector<u32> ids;
  for (u32 id = 1; id < helper_ids; ++id)
    if (helpers::allowed(type, id) &&
        (id == tail_call || helpers::function(type, static_cast<s32>(id)) != nullptr))
      ids.push_back(id);
  return ids;
}

Result<SymbolTable> UserKernel::symbols() {
  SymbolTable table;
  table.call_base = call_base;
  table.symbols.push_back({call_base, "__bpf_call_base"});
  const auto add = [&](s32 id, std::string_view name) {
    table.symbols.push_back(
        {call_base + static_cast<u64>(s64{helpers::symbol_offset(id)}), std::string(name)});
  };
  for (s32 id = 1; id < helpers::max_id; ++id) add(id, helpers::name(static_cast<u32>(id)));
  for (s32 id = helpers::fn_internal_base + 1; id < helpers::fn_internal_end; ++id)
    add(id, helpers::internal_fn_name(id));
  for (s32 id = helpers::kernel_function_base + 1; !helpers::kernel_function_name(id).empty(); ++id)
    add(id, helpers::kernel_function_name(id));
  const Lock lock(mutex_);
  sweep();
  programs_.each([&](const Program& program) {
    for (std::size_t i = 0; i < program.subprogs.size(); ++i)
      table.symbols.push_back({symbol_address(program, i), symbol_name(program, program.subprogs[i])});
  });
  std::ranges::sort(table.symbols, {}, &Symbol::address);
  return table;
}

// Pins.

Result<void> UserKernel::obj_pin(int object, ObjectKind kind, const std::string& path) {
  const Lock lock(mutex_);
  if (pins_ == nullptr) return fail(EOPNOTSUPP, "this kernel lives in one process and has no pins");
  sweep();
  if (kind == ObjectKind::btf) return fail(EINVAL, "BTF cannot be pinned");
  auto held = TRY(fds_.get<void>(object, kind));
  u32 id = 0;
  if (kind == ObjectKind::prog) id = std::static_pointer_cast<Program>(held)->id;
  if (kind == ObjectKind::map) id = std::static_pointer_cast<maps::Map>(held)->facts().id;
  if (kind == ObjectKind::link) id = std::static_pointer_cast<Link>(held)->id;
  return pins_->pin(path, {kind, id, std::move(held)});
}

Result<Handle> UserKernel::obj_get(const std::string& path) {
  const Lock lock(mutex_);
  if (pins_ == nullptr) return fail(EOPNOTSUPP, "this kernel lives in one process and has no pins");
  sweep();
  Pinned found = TRY(pins_->get(path));
  return open(found.kind, std::move(found.object));
}

Result<std::string> UserKernel::pin_directory() {
  if (pins_ == nullptr) return fail(EOPNOTSUPP, "this kernel lives in one process and has no pins");
  return pins_->directory();
}

}  // namespace skep::runtime
