// The engines against native code and against the kernel: the programs of bench/programs, every contender in
// every round, all results compared first. Usage: bench_engine [ROUNDS]; writes engine.json and engine.svg to
// the current directory.
#include <fmt/format.h>
#include <net/if.h>

#include <cstdlib>

#include "client/linux_kernel.hpp"
#include "contenders.hpp"
#include "embed/session.hpp"
#include "micro.hpp"
#include "report.hpp"

namespace skep::bench {
namespace {

constexpr const char* programs[] = {"parse",  "swapmac", "jhash", "fnv",  "siphash", "csum",
                                    "memcpy", "prime",   "sieve", "log2", "bpf2bpf", "switchd"};

/// The object on one kernel of ours.
struct OnSkep {
  std::unique_ptr<embed::Session> session;
  embed::Object object;
  hooks::XdpProgram program;
  RunContext run;

  static Result<std::unique_ptr<OnSkep>> load(const std::string& path, bool jit) {
    auto on = std::make_unique<OnSkep>();
    embed::Session::Options options;
    options.jit = jit;
    on->session = TRY(embed::Session::create(std::move(options)));
    on->object = TRY(on->session->load(TRY(loader::open_object(path)), nullptr));
    on->program = TRY(on->session->kernel().xdp_program(TRY(on->object.program(""))->handle.fd()));
    on->run = on->session->kernel().run_context(0);
    return on;
  }
};

/// The object on the machine's kernel, where bpf(2) is allowed.
struct OnLinux {
  client::LinuxKernel kernel;
  loader::LoadedObject loaded;
  std::unique_ptr<KernelCode> code;  ///< its machine code here, where that is possible
};

Result<std::unique_ptr<OnLinux>> load_on_linux(const std::string& path) {
  auto on = std::make_unique<OnLinux>();
  on->loaded = TRY(loader::load(TRY(loader::open_object(path)), on->kernel, {}));
  const ProgramInfo info = TRY(on->kernel.prog_info(on->loaded.programs.front().handle.fd()));
  if (auto code = KernelCode::take(info)) on->code = std::make_unique<KernelCode>(std::move(*code));
  return on;
}

struct Bench {
  std::unique_ptr<TestPacket> packet;
  std::vector<Sample> samples;
  u32 rounds = 15;
  Report report{
      "ns a run, and the ratio to native code (median of rounds, ± half the middle half)", {}, {}, {}};

  Result<void> program(const std::string& name);
};

template <class Run>
Contender contender(std::string name, Run run) {
  Contender c;
  c.name = std::move(name);
  c.run = [run](u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; ++i) sum += run();
    return sum;
  };
  return c;
}

Result<void> Bench::program(const std::string& name) {
  const std::string stem = fmt::format("{}/{}", SKEP_BENCH_DIR, name);
  const auto native = TRY(NativeProgram::open(stem + ".so"));
  const auto jit = TRY(OnSkep::load(stem + ".bpf.o", true));
  const auto interpreter = TRY(OnSkep::load(stem + ".bpf.o", false));
  const auto on_linux = load_on_linux(stem + ".bpf.o");

  const int fd = TRY(jit->object.program(""))->handle.fd();
  samples.push_back({name, runnable(TRY(jit->session->kernel().prog_info(fd)).xlated)});

  Row row{name, {}};
  TestPacket* p = packet.get();
  row.contenders.push_back(contender("native", [run = native.run, p] { return run(p->md()) & 0xffffffff; }));
  for (OnSkep* on : {jit.get(), interpreter.get()})
    row.contenders.push_back(contender(on == jit.get() ? "jit" : "interpreter", [on, p] {
      return on->program.entry(p->buff(), &on->run) & 0xffffffff;
    }));
  if (on_linux && (*on_linux)->code != nullptr)
    row.contenders.push_back(contender("kernel-jit-code", [code = (*on_linux)->code.get(), p] {
      return code->run(p->buff()) & 0xffffffff;
    }));
  for (Contender& c : row.contenders) {
    p->restore();
    c.result = c.run(1);
    if (c.result != row.contenders.front().result)
      return fail(EINVAL, fmt::format("{}: {} returns {}, native {}", name, c.name, c.result,
                                      row.contenders.front().result));
  }
  p->restore();
  measure(row.contenders, rounds);
  report.rows.push_back(std::move(row));
  return {};
}

int run(u32 rounds) {
  Bench bench;
  auto packet = TestPacket::create();
  if (!packet) {
    fmt::print(stderr, "bench: {}\n", packet.error().what);
    return 1;
  }
  bench.packet = std::move(*packet);
  bench.rounds = rounds;
  for (const char* name : programs) {
    if (const auto done = bench.program(name); !done) {
      fmt::print(stderr, "bench: {}: {}\n", name, done.error().what);
      return 1;
    }
  }
  Report& report = bench.report;
  for (const char* name : {"jit", "interpreter", "kernel-jit-code"})
    if (const double mean = geometric_mean(report, name, "native"); mean > 0)
      report.figures.emplace_back(fmt::format("{} to native, geometric mean", name), mean);
  if (const double mean = geometric_mean(report, "jit", "kernel-jit-code"); mean > 0)
    report.figures.emplace_back("jit to the kernel's machine code, geometric mean", mean);
  else
    report.notes.emplace_back(
        "no kernel to compare with: bpf(2) is not allowed here, or shows no machine code");
  if (const auto done = add_micro_figures(report, bench.samples, rounds); !done) {
    fmt::print(stderr, "bench: {}\n", done.error().what);
    return 1;
  }
  print_text(report);
  return write_files(report, "engine") ? 0 : 1;
}

}  // namespace
}  // namespace skep::bench

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 15;
  if (rounds < 1 || rounds > 1000) {
    fmt::print(stderr, "usage: bench_engine [ROUNDS 1..1000]\n");
    return 2;
  }
  return skep::bench::run(static_cast<skep::u32>(rounds));
}
