// The verifier's time for a processed instruction, beside the running kernel's on the same objects in the
// same run. skep's is BPF_PROG_LOAD of a kernel that makes no code; Linux's is the "verification time" of its
// own log. Both must give the same verdict after as many instructions. Memory is all that skep's load has
// allocated at any time, counted by this program's operator new. Usage: bench_verifier [ROUNDS [OBJECT...]];
// without objects it takes its own; writes verifier.json to the current directory.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <new>
#include <optional>

#include "client/linux_kernel.hpp"
#include "loader/judging.hpp"
#include "loader/loader.hpp"
#include "measure.hpp"
#include "runtime/user_kernel.hpp"
#include "runtime/vmlinux.hpp"

namespace {

std::atomic<std::size_t> allocated{0}, most_allocated{0};

void* counted(void* memory) {
  if (memory == nullptr) std::abort();
  const std::size_t now = allocated += malloc_usable_size(memory);
  if (now > most_allocated) most_allocated = now;
  return memory;
}
void uncounted(void* memory) {
  if (memory != nullptr) allocated -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(std::malloc(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t align) {
  const auto a = static_cast<std::size_t>(align);
  return counted(std::aligned_alloc(a, (bytes + a - 1) / a * a));
}
void operator delete(void* memory) noexcept { uncounted(memory); }
void operator delete(void* memory, std::size_t) noexcept { uncounted(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { uncounted(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { uncounted(memory); }

namespace skep::bench {
namespace {

constexpr const char* own_programs[] = {"pass",          "parse",         "jhash",        "fnv",
                                        "siphash",       "bpf2bpf",       "switchd",      "verify_balancer",
                                        "verify_filter", "verify_tracer", "verify_loops", "verify_calls"};
constexpr double bar_us = 0.15;  ///< a processed instruction, for programs large enough to tell

/// What one load came to.
struct Load {
  int code = -1;
  u64 processed = 0;
  double ns = 0;
  std::string log;
};

u64 number_after(const std::string& log, std::string_view word) {
  const std::size_t at = log.rfind(word);
  return at == std::string::npos ? 0 : std::strtoull(log.c_str() + at + word.size(), nullptr, 10);
}

struct Row {
  std::string name;
  Load skep, on_linux;
  std::vector<double> skep_rounds, linux_rounds;  ///< us a processed instruction
  std::size_t bytes = 0;                          ///< most that one load of skep held
};

class VerifierBench {
 public:
  explicit VerifierBench(u32 rounds)
      : rounds_(rounds), types_(runtime::vmlinux_source(), runtime::machine_symbols()) {}
  int run(const std::vector<std::string>& objects);

 private:
  Result<Load> load(const loader::ObjectSpec& spec, u32 index, bool on_linux, std::size_t* bytes);
  Result<void> object(const std::string& path);
  Result<void> program(const loader::ObjectSpec& spec, u32 index, const loader::Environment& environment);
  void print(const Row& row) const;
  void print_means() const;
  [[nodiscard]] bool write_json() const;

  u32 rounds_;
  btf::KernelBtf types_;
  std::string no_linux_;  ///< why there is no kernel to compare with
  loader::Environment environment_;
  std::vector<Row> rows_;
  bool differ_ = false;
};

Result<Load> VerifierBench::load(const loader::ObjectSpec& spec, u32 index, bool on_linux,
                                 std::size_t* bytes) {
  std::shared_ptr<Kernel> kernel;
  if (on_linux) {
    kernel = std::make_shared<client::LinuxKernel>();
  } else {
    runtime::Config config;
    config.verify_only = true;
    config.kernel_btf = &types_;
    kernel = TRY(runtime::UserKernel::create(config));
  }
  Load found;
  loader::LoadOptions options;
  options.only_program = index;
  options.ignore_pins = true;
  options.log_level = 4;
  options.environment = environment_;
  options.on_attempt = [&](const loader::Attempt& attempt) {
    found.code = attempt.code;
    found.ns = static_cast<double>(attempt.nanoseconds);
    found.log = attempt.log;
  };
  const std::size_t before = allocated;
  most_allocated = before;
  const auto loaded = loader::load(spec, *kernel, options);
  if (bytes != nullptr) *bytes = most_allocated - before;
  if (found.code < 0) return std::unexpected(loaded.error());  // not even tried
  found.processed = number_after(found.log, "processed ");
  if (on_linux) found.ns = static_cast<double>(number_after(found.log, "verification time ")) * 1e3;
  if (found.processed == 0) return fail(found.code, "no count of processed instructions");
  return found;
}

Result<void> VerifierBench::program(const loader::ObjectSpec& spec, u32 index,
                                    const loader::Environment& environment) {
  environment_ = environment;
  Row row;
  row.name = spec.programs[index].name == "prog" ? "" : spec.programs[index].name;
  for (u32 round = 0; round <= rounds_; ++round) {  // the first warms up
    std::size_t bytes = 0;
    row.skep = TRY(load(spec, index, false, &bytes));
    row.bytes = std::max(row.bytes, bytes);
    if (round != 0) row.skep_rounds.push_back(row.skep.ns / 1e3 / static_cast<double>(row.skep.processed));
    if (!no_linux_.empty()) continue;
    const auto there = load(spec, index, true, nullptr);
    if (!there) {
      if (there.error().code != EPERM) return std::unexpected(there.error());
      no_linux_ = there.error().what;
      continue;
    }
    row.on_linux = *there;
    if (round != 0) row.linux_rounds.push_back(there->ns / 1e3 / static_cast<double>(there->processed));
  }
  rows_.push_back(std::move(row));
  return {};
}

Result<void> VerifierBench::object(const std::string& path) {
  loader::ObjectSpec spec = TRY(loader::open_object(path));
  loader::prepare_to_judge(spec);
  loader::MachineEnvironment machine = loader::machine_environment(spec);
  machine.environment.kernel_btf = types_.types();
  for (u32 i = 0; i < spec.programs.size(); ++i) {
    TRY(program(spec, i, machine.environment));
    Row& row = rows_.back();
    std::string stem = path.substr(path.rfind('/') + 1);
    stem = stem.substr(0, stem.find('.'));
    if (row.name != stem) row.name = row.name.empty() ? stem : stem + "/" + row.name;
    print(row);
    if (!row.linux_rounds.empty() &&
        ((row.skep.code == 0) != (row.on_linux.code == 0) || row.skep.processed != row.on_linux.processed)) {
      fmt::print(stderr, "bench: {}: skep: errno {}, {} instructions; Linux: errno {}, {}\n", row.name,
                 row.skep.code, row.skep.processed, row.on_linux.code, row.on_linux.processed);
      differ_ = true;
    }
  }
  return {};
}

Summary ratios(const Row& row) {
  std::vector<double> of;
  for (std::size_t i = 0; i < row.linux_rounds.size(); ++i)
    of.push_back(row.skep_rounds[i] / row.linux_rounds[i]);
  return summarize(of);
}

void VerifierBench::print(const Row& row) const {
  const Summary skep = summarize(row.skep_rounds), there = summarize(row.linux_rounds), to = ratios(row);
  std::string line = fmt::format("{:<32} {:>9} {:>8.3f} {:<7}", row.name, row.skep.processed, skep.median,
                                 fmt::format("±{:.3f}", (skep.high - skep.low) / 2));
  line += row.linux_rounds.empty() ? fmt::format(" {:>8} {:<7} {:>6} {:<6}", "-", "", "-", "")
                                   : fmt::format(" {:>8.3f} {:<7} {:>6.3f} {:<6}", there.median,
                                                 fmt::format("±{:.3f}", (there.high - there.low) / 2),
                                                 to.median, fmt::format("±{:.3f}", (to.high - to.low) / 2));
  fmt::print("{} {:>9.2f} {}\n", line, static_cast<double>(row.bytes) / 1e6,
             row.skep.code == 0 ? "" : "refused");
  std::fflush(stdout);
}

/// Over the programs that the verifier walks 10,000 instructions of, so that what is done once does not
/// count.
void VerifierBench::print_means() const {
  double own = 0, to = 0, worst = 0;
  u32 count = 0, compared = 0;
  for (const Row& row : rows_) {
    if (row.skep.processed < 10'000) continue;
    const double us = summarize(row.skep_rounds).median;
    own += std::log(us);
    worst = std::max(worst, us);
    ++count;
    if (row.linux_rounds.empty()) continue;
    to += std::log(ratios(row).median);
    ++compared;
  }
  if (count != 0) {
    const double mean = std::exp(own / count);
    fmt::print(
        "us an instruction, geometric mean of {} programs of 10,000 and more: {:.3f} (bar {}: {}), worst "
        "{:.3f}\n",
        count, mean, bar_us, mean <= bar_us ? "reached" : "missed", worst);
  }
  if (compared != 0) fmt::print("to Linux, geometric mean: {:.3f}\n", std::exp(to / compared));
  if (!no_linux_.empty()) fmt::print("note: no kernel to compare with: {}\n", no_linux_);
}

bool VerifierBench::write_json() const {
  std::string json = fmt::format(
      "{{\"title\": \"us a processed instruction; medians of {} rounds\", \"bar\": {}, \"programs\": [",
      rounds_, bar_us);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    const Summary skep = summarize(row.skep_rounds);
    json += fmt::format(
        "{}\n  {{\"program\": \"{}\", \"processed\": {}, \"accepted\": {}, \"bytes\": {}, \"us\": {:.4f}, "
        "\"us_q1\": {:.4f}, \"us_q3\": {:.4f}",
        i != 0 ? "," : "", row.name, row.skep.processed, row.skep.code == 0, row.bytes, skep.median, skep.low,
        skep.high);
    if (!row.linux_rounds.empty()) {
      const Summary there = summarize(row.linux_rounds), to = ratios(row);
      json += fmt::format(
          ", \"linux_us\": {:.4f}, \"linux_us_q1\": {:.4f}, \"linux_us_q3\": {:.4f}, \"ratio\": {:.4f}, "
          "\"ratio_q1\": {:.4f}, \"ratio_q3\": {:.4f}",
          there.median, there.low, there.high, to.median, to.low, to.high);
    }
    json += "}";
  }
  std::ofstream file("verifier.json");
  file << json << "\n]}\n";
  return static_cast<bool>(file.flush());
}

int VerifierBench::run(const std::vector<std::string>& objects) {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  (void)::setrlimit(RLIMIT_MEMLOCK, &unlimited);
  (void)types_.types();  // read once, before any time is taken
  fmt::print("us a processed instruction (median of {} rounds, ± half the middle half)\n", rounds_);
  fmt::print("{:<32} {:>9} {:>16} {:>16} {:>13} {:>9}\n", "program", "processed", "skep", "Linux", "ratio",
             "MB");
  for (const std::string& path : objects)
    if (const auto done = object(path); !done) {
      fmt::print(stderr, "bench: {}: {}\n", path, done.error().what);
      return 1;
    }
  print_means();
  if (!write_json()) {
    fmt::print(stderr, "bench: cannot write verifier.json\n");
    return 1;
  }
  return differ_ ? 1 : 0;
}

}  // namespace
}  // namespace skep::bench

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 15;
  if (rounds < 1 || rounds > 1000) {
    fmt::print(stderr, "usage: bench_verifier [ROUNDS 1..1000 [OBJECT...]]\n");
    return 2;
  }
  std::vector<std::string> objects(argv + std::min(argc, 2), argv + argc);
  if (objects.empty())
    for (const char* name : skep::bench::own_programs)
      objects.push_back(fmt::format("{}/{}.bpf.o", SKEP_BENCH_DIR, name));
  return skep::bench::VerifierBench(static_cast<skep::u32>(rounds)).run(objects);
}
