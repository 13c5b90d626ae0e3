// See verify_work.hpp. Each program is loaded into a kernel of its own, so that programs are independent and
// cores share nothing but what was read from the files.
#include "cli/verify_work.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/fd.hpp"
#include "cli/bare_words.hpp"
#include "client/linux_kernel.hpp"
#include "loader/judging.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::cli {
namespace {

struct Object {
  std::string path;
  std::optional<loader::ObjectSpec> spec;
  std::string error;
};
struct Task {
  const Object* object = nullptr;
  std::optional<u32> program;  ///< none: the object could not be read, or the raw file
  ProgramVerdict verdict;
  bool done = false;
};

/// The last warning is why a program did not get as far as the verifier.
class LastWarning final : public loader::Diagnostics {
 public:
  void message(loader::Level level, const std::string& text) override {
    // The ones after the first only say which program and object it was.
    if (level == loader::Level::warning && first.empty()) first = text;
  }
  std::string first;
};

/// Statistics, or the source line that some messages are followed by.
bool is_besides(std::string_view line) {
  return line.starts_with("processed ") || line.starts_with("verification time ") ||
         line.starts_with("stack depth ") || line.starts_with("; ");
}

/// The log's last line that says why, and the number of processed instructions.
void read_log(Verdict& verdict) {
  std::string_view rest = verdict.log;
  std::string_view last;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    // A message without newline has the statistics on its own line, at level 4 the time.
    const std::size_t at = line.find("processed ");
    if (at != std::string_view::npos && line.find(" insns (limit ") != std::string_view::npos) {
      verdict.processed = std::strtoull(line.data() + at + 10, nullptr, 10);
      if (at != 0) last = line.substr(0, at);
    } else if (!line.empty() && !is_besides(line)) {
      last = line.substr(0, line.find("verification time "));
    }
  }
  if (verdict.code != 0) verdict.message = last;
}

/// A kernel to ask; `own`: the same, if it is skep's.
struct Asked {
  std::shared_ptr<Kernel> kernel;
  std::shared_ptr<runtime::UserKernel> own;
};

Result<Asked> make_kernel(bool linux_kernel, const btf::KernelBtf* types) {
  if (linux_kernel) return Asked{std::make_shared<client::LinuxKernel>(), nullptr};
  runtime::Config config;
  config.verify_only = true;
  config.kernel_btf = types;
  std::shared_ptr<runtime::UserKernel> own = TRY(runtime::UserKernel::create(config));
  return Asked{own, own};
}

constexpr u32 log_bytes = UINT32_MAX >> 8;  // what libbpf asks for
constexpr u32 statistics = 4;               // the log level that prints nothing else

struct Judge {
  const VerifyRequest& request;
  const loader::Environment& environment;
  const btf::KernelBtf& types;
  const Object* target = nullptr;  ///< what extensions and the like are for
  u32 target_index = 0;            ///< the program of it

  /// A program whose section names no type is tried as those that bare filters usually are; the first that
  /// accepts it counts.
  Verdict program(const Object& object, u32 index, bool linux_kernel) const {
    if (object.spec->programs[index].type != ProgType::unspec)
      return program_as(object, index, linux_kernel, std::nullopt);
    std::optional<Verdict> first;
    for (const ProgType type :
         {ProgType::socket_filter, ProgType::xdp, ProgType::sched_cls, ProgType::kprobe}) {
      Verdict verdict = program_as(object, index, linux_kernel, type);
      if (verdict.code == 0) return verdict;
      if (!first) first = std::move(verdict);
    }
    return *std::move(first);
  }

  /// The verdict, with the end of the log where the whole is longer than the buffer: the load has failed with
  /// ENOSPC then, whatever the verifier said, so it is asked once more.
  Verdict program_as(const Object& object, u32 index, bool linux_kernel, std::optional<ProgType> type) const {
    Verdict verdict = load_as(object, index, linux_kernel, type, request.log_level);
    if (verdict.code != ENOSPC || !verdict.judged || request.log_level == statistics) return verdict;
    return with_log_of(load_as(object, index, linux_kernel, type, statistics), std::move(verdict));
  }

  static Verdict with_log_of(Verdict verdict, Verdict other) {
    verdict.log = std::move(other.log);
    verdict.nanoseconds = other.nanoseconds;
    return verdict;
  }

  Verdict load_as(const Object& object, u32 index, bool linux_kernel, std::optional<ProgType> type,
                  u32 log_level) const {
    Verdict verdict;
    const auto asked = make_kernel(linux_kernel, &types);
    if (!asked) {
      verdict.code = asked.error().code;
      verdict.message = asked.error().what;
      return verdict;
    }
    LastWarning warnings;
    loader::LoadOptions options;
    options.ignore_pins = true;
    options.environment = environment;
    options.diagnostics = &warnings;
    std::optional<loader::LoadedObject> target_object;
    if (target != nullptr) {
      options.only_program = target_index;
      auto loaded = loader::load(*target->spec, *asked->kernel, options);
      if (!loaded) {
        verdict.code = loaded.error().code;
        verdict.message = fmt::format("the target, {}: {}", request.target_file, loaded.error().what);
        return verdict;
      }
      target_object = std::move(*loaded);
      options.attach_program = target_object->programs.front().handle.fd();
      options.attach_btf = &*target->spec->btf;
    }
    options.only_program = index;
    options.type = type;
    if (type == ProgType::xdp) options.attach = AttachType::xdp;
    options.log_level = log_level;
    options.max_log_bytes = log_bytes;
    const auto core_btf = find_core_btf(object, index, warnings);
    if (core_btf) options.core_btf = &*core_btf;
    options.on_attempt = [&](const loader::Attempt& attempt) {
      verdict.judged = !attempt.log.empty() || attempt.code == 0 || log_level == 0;
      verdict.code = attempt.code;
      verdict.nanoseconds = attempt.nanoseconds;
      verdict.log = attempt.log;
      verdict.message = attempt.code == 0 ? std::string() : attempt.message;
      if (asked->own != nullptr) verdict.memory = asked->own->verifier_memory();
      read_log(verdict);
    };
    const auto loaded = loader::load(*object.spec, *asked->kernel, options);
    if (loaded && !loaded->programs.empty())
      if (const auto info = asked->kernel->prog_info(loaded->programs.front().handle.fd()))
        verdict.tag = info->tag;
    if (!loaded && !verdict.judged) {
      verdict.code = loaded.error().code;
      if (!warnings.first.empty()) verdict.message = warnings.first;
    }
    return verdict;
  }

  /// The types that the program itself names a file of, beside its object.
  static std::optional<btf::Btf> find_core_btf(const Object& object, u32 index, LastWarning& warnings) {
    const std::string_view name = loader::core_btf_of(*object.spec, object.spec->programs[index]);
    if (name.empty()) return std::nullopt;
    const auto directory = object.path.substr(0, object.path.rfind('/') + 1);
    auto read = loader::read_btf_file(directory + std::string(name));
    if (read) return std::move(*read);
    warnings.message(loader::Level::warning, fmt::format("{}{}: {}", directory, name, read.error().what));
    return std::nullopt;
  }

  Verdict raw(const ProgramSpec& spec, bool linux_kernel) const {
    Verdict verdict = load_raw(spec, linux_kernel, request.log_level);
    if (verdict.code != ENOSPC || !verdict.judged || request.log_level == statistics) return verdict;
    return with_log_of(load_raw(spec, linux_kernel, statistics), std::move(verdict));
  }

  Verdict load_raw(const ProgramSpec& spec, bool linux_kernel, u32 log_level) const {
    Verdict verdict;
    const auto asked = make_kernel(linux_kernel, &types);
    if (!asked) {
      verdict.code = asked.error().code;
      verdict.message = asked.error().what;
      return verdict;
    }
    Log log;
    const LogRequest want{.level = log_level, .size = log_level == 0 ? 0 : log_bytes};
    const auto begin = std::chrono::steady_clock::now();
    const auto loaded = asked->kernel->prog_load(spec, want, &log);
    verdict.nanoseconds = static_cast<u64>((std::chrono::steady_clock::now() - begin).count());
    if (asked->own != nullptr) verdict.memory = asked->own->verifier_memory();
    verdict.log = std::move(log.text);
    verdict.code = loaded ? 0 : loaded.error().code;
    if (!loaded) verdict.message = loaded.error().what;
    if (loaded)
      if (const auto info = asked->kernel->prog_info(loaded->fd())) verdict.tag = info->tag;
    verdict.judged = loaded || !verdict.log.empty() || log_level == 0;
    read_log(verdict);
    return verdict;
  }
};

/// The hook that programs of some types must name.
AttachType usual_hook(ProgType type) {
  switch (type) {
    case ProgType::cgroup_sock:
      return AttachType::cgroup_inet_sock_create;
    case ProgType::cgroup_sock_addr:
      return AttachType::cgroup_inet4_connect;
    case ProgType::cgroup_sockopt:
      return AttachType::cgroup_setsockopt;
    case ProgType::sk_lookup:
      return AttachType::sk_lookup;
    case ProgType::netfilter:
      return AttachType::netfilter;
    case ProgType::sock_ops:
      return AttachType::cgroup_sock_ops;
    default:
      return {};
  }
}

/// Runs `work` on tasks in order, on as many threads as wanted; `found` sees them in order on this thread.
void run_tasks(std::vector<Task>& tasks, u32 threads, const std::function<void(Task&)>& work,
               const std::function<void(const ProgramVerdict&)>& found) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::jthread> workers;
  for (u32 t = 0; t < std::min<std::size_t>(threads, tasks.size()); ++t)
    workers.emplace_back([&] {
      for (std::size_t i = next++; i < tasks.size(); i = next++) {
        work(tasks[i]);
        const std::lock_guard lock(mutex);
        tasks[i].done = true;
        changed.notify_one();
      }
    });
  for (Task& task : tasks) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return task.done; });
    lock.unlock();
    found(task.verdict);
    task.verdict = {};
  }
}

Outcome<void> verify_raw(const VerifyRequest& request, const Judge& judge,
                         const std::function<void(const ProgramVerdict&)>& found) {
  ProgramSpec spec;
  spec.type = request.raw_type;
  spec.expected_attach_type = usual_hook(spec.type);
  spec.insns = TRY(read_bare_insns(request.raw_file));
  spec.license = "GPL";
  if (spec.type == ProgType::syscall) spec.flags = uapi::F_SLEEPABLE;
  ProgramVerdict verdict;
  verdict.object = request.raw_file;
  verdict.type = spec.type;
  verdict.insns = spec.insns.size();
  verdict.skep = judge.raw(spec, false);
  if (request.against_linux) verdict.linux_ = judge.raw(spec, true);
  found(verdict);
  return {};
}

std::vector<Task> make_tasks(const std::vector<Object>& objects, const std::string& only) {
  std::vector<Task> tasks;
  for (const Object& object : objects) {
    if (!object.spec) {
      Task& task = tasks.emplace_back(Task{&object, {}, {}, false});
      task.verdict.object = object.path;
      task.verdict.skep.code = EINVAL;
      task.verdict.skep.message = object.error;
      continue;
    }
    for (u32 i = 0; i < object.spec->programs.size(); ++i) {
      const loader::ProgramDef& def = object.spec->programs[i];
      if (!only.empty() && def.name != only) continue;
      Task& task = tasks.emplace_back(Task{&object, i, {}, false});
      task.verdict.object = object.path;
      task.verdict.section = def.section;
      task.verdict.program = def.name;
      task.verdict.type = def.type;
      task.verdict.insns = def.insns.size();
    }
  }
  return tasks;
}

/// What any of the objects needs of this machine.
loader::MachineEnvironment environment_of(const std::vector<Object>& objects) {
  loader::MachineEnvironment all = loader::machine_environment(loader::ObjectSpec{});
  for (const Object& object : objects) {
    if (!object.spec || (all.btf != nullptr && all.environment.kconfig)) continue;
    loader::MachineEnvironment one = loader::machine_environment(*object.spec);
    if (all.btf == nullptr && one.btf != nullptr) {
      all.btf = std::move(one.btf);
      all.environment.kernel_btf = all.btf.get();
    }
    if (one.environment.kconfig) all.environment.kconfig = std::move(one.environment.kconfig);
  }
  return all;
}

Object open_to_judge(const std::string& path) {
  Object object;
  object.path = path;
  LastWarning warnings;
  auto spec = loader::open_object(path, &warnings, true);
  if (spec)
    loader::prepare_to_judge(object.spec.emplace(std::move(*spec)));
  else
    object.error = warnings.first.empty() ? spec.error().what : warnings.first;
  return object;
}

/// The program that --target and --target-program name.
Outcome<void> choose_target(const VerifyRequest& request, const Object& target, Judge& judge) {
  if (!target.spec) return refuse(fmt::format("{}: {}", request.target_file, target.error));
  const auto& programs = target.spec->programs;
  const auto named = std::ranges::find_if(programs, [&](const loader::ProgramDef& def) {
    return request.target_program.empty() || def.name == request.target_program;
  });
  if (named == programs.end())
    return refuse(fmt::format("{}: no program '{}'", request.target_file, request.target_program));
  if (!target.spec->btf) return refuse(fmt::format("{}: no BTF", request.target_file));
  judge.target = &target;
  judge.target_index = static_cast<u32>(named - programs.begin());
  return {};
}

}  // namespace

std::vector<std::string_view> differences(const Verdict& a, const Verdict& b) {
  std::vector<std::string_view> found;
  if ((a.code == 0) != (b.code == 0)) found.push_back("verdict");
  if (a.code != b.code) found.push_back("errno");
  if (a.message != b.message && a.judged && b.judged) found.push_back("message");
  if (a.processed != b.processed) found.push_back("processed");
  if (a.tag && b.tag && *a.tag != *b.tag) found.push_back("tag");
  return found;
}

Outcome<void> verify_all(const VerifyRequest& request,
                         const std::function<void(const ProgramVerdict&)>& found) {
  std::vector<Object> objects;
  for (const std::string& path : request.objects) objects.push_back(open_to_judge(path));
  loader::MachineEnvironment machine = environment_of(objects);
  std::optional<btf::Btf> read;
  if (!request.btf_file.empty()) {
    auto file = loader::read_btf_file(request.btf_file);
    if (!file) return refuse(fmt::format("{}: {}", request.btf_file, file.error().what));
    read.emplace(std::move(*file));
  }
  // One table for the loader and the verifier: ids of functions and types mean the same to both.
  const btf::KernelBtf types(
      read ? btf::KernelBtf::Source([&]() -> Result<std::vector<std::byte>> { return read->bytes(); })
           : runtime::vmlinux_source(),
      read ? btf::KernelBtf::HasSymbol() : runtime::machine_symbols());
  machine.environment.kernel_btf = types.types();
  if (request.against_linux) {  // maps of objects may be many
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    (void)::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  }
  Judge judge{request, machine.environment, types};
  Object target;
  if (!request.target_file.empty()) {
    target = open_to_judge(request.target_file);
    TRY(choose_target(request, target, judge));
  }
  if (!request.raw_file.empty()) return verify_raw(request, judge, found);
  std::vector<Task> tasks = make_tasks(objects, request.program);
  if (tasks.empty()) return refuse(fmt::format("no program '{}' in these objects", request.program));
  const u32 threads =
      request.threads != 0 ? request.threads : std::max(1u, std::thread::hardware_concurrency());
  run_tasks(
      tasks, threads,
      [&](Task& task) {
        if (!task.program) return;
        task.verdict.skep = judge.program(*task.object, *task.program, false);
        if (request.against_linux) task.verdict.linux_ = judge.program(*task.object, *task.program, true);
      },
      found);
  return {};
}

}  // namespace skep::cli
