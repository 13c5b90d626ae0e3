// Map operations, skep's against the machine's kernel: the same object on both, each operation net of the
// same program without it (bench/programs/maps.c), on one thread and on two. Both are asked through the same
// interface, BPF_PROG_TEST_RUN with a repeat count. Beside them a table in native code, which shows what the
// machine's memory gives at the time. Usage: bench_maps [ROUNDS [OPERATION]]; writes maps.json to the current
// directory.
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <thread>

#include "client/linux_kernel.hpp"
#include "embed/session.hpp"
#include "measure.hpp"
#include "native_table.hpp"

namespace skep::bench {
namespace {

struct Operation {
  const char* name;
  const char* program;
  const char* base;
  double bar;  ///< ns, on one thread; 0: none
};
constexpr Operation operations[] = {
    {"hash lookup, one key of 64k", "hash_hot", "hash_hot_base", 3},
    {"hash lookup, random of 64k", "hash_random", "hash_random_base", 15},
    {"percpu_hash lookup and add, random", "percpu_hash_random", "hash_random_base", 0},
    {"lru_hash lookup, random of 64k", "lru_lookup_random", "hash_random_base", 0},
    {"hash update, existing random key", "hash_update", "hash_update_base", 15},
    {"hash insert and delete", "insert_delete", "insert_delete_base", 60},
    {"lru_hash update with eviction", "lru_update", "lru_update_base", 60},
    {"lpm_trie lookup, 10k routes", "lpm", "lpm_base", 15},
    {"ringbuf reserve and submit, 64 bytes", "ringbuf", "pass_base", 10},
    {"percpu_array lookup and add", "percpu_update", "array_base", 1},
    {"array lookup", "array_lookup", "array_base", 0},
    {"array of arrays lookup", "map_in_map", "array_base", 0},
};
constexpr u32 threads_max = 2;
/// Records of the ring that a test run makes on all threads; then they count as read.
constexpr u32 ring_runs = 14000;
constexpr u32 xdp_pass = 2;

/// The key of flow `i` as the programs make it.
struct FlowKey {
  u32 src, dst;
  u16 sp, dp;
  u8 proto = 6;
  std::array<u8, 3> pad{};
  explicit FlowKey(u32 i)
      : src(__builtin_bswap32(0x0a000000u + i)),
        dst(0x0100a8c0),
        sp(__builtin_bswap16(static_cast<u16>(1024 + (i & 0x7fff)))),
        dp(0x5000) {}
};
static_assert(sizeof(FlowKey) == 16);

/// The object on one kernel.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Kernel& kernel() = 0;
  /// Whether test runs count their time themselves, in whole ns (the kernel's have much to do around them).
  [[nodiscard]] virtual bool own_clock() const = 0;

  Result<void> load(const std::string& path) {
    spec_ = TRY(loader::open_object(path));
    loaded_ = TRY(loader::load(spec_, kernel(), {}));
    TRY(fill_flows("flows", false));
    TRY(fill_flows("lru_flows", false));
    TRY(fill_flows("percpu_flows", true));
    TRY(fill_routes());
    const u32 key = 3;
    const u64 value = 3;
    TRY(kernel().map_update_elem(TRY(map("array")), bytes_of(key), bytes_of(value), 0));
    return prepare_ring(TRY(map("ring")));
  }
  Result<int> program(std::string_view name) const {
    for (const loader::LoadedProgram& p : loaded_.programs)
      if (p.name == name) return p.handle.fd();
    return fail(ENOENT, fmt::format("no program {}", name));
  }
  /// ns a run. Every run must have returned XDP_PASS.
  Result<double> time(int fd, u32 runs) {
    TestRunSpec spec;
    spec.data_in.resize(64);
    spec.repeat = runs;
    const double begin = now_ns();
    const TestRunResult result = TRY(kernel().prog_test_run(fd, spec));
    const double took = own_clock() ? result.duration : (now_ns() - begin) / runs;
    if (result.retval != xdp_pass) return fail(EINVAL, fmt::format("the program returned {}", result.retval));
    return took;
  }
  /// What the ring holds counts as read.
  void drain() {
    if (!consumer_) return;
    auto* consumed = reinterpret_cast<std::atomic<u64>*>(consumer_->data());
    const auto* produced = reinterpret_cast<const std::atomic<u64>*>(producer_->data());
    consumed->store(produced->load());
  }

 protected:
  virtual Result<void> prepare_ring(int fd) = 0;
  /// Before the kernel goes.
  void unload() { loaded_ = {}; }
  std::optional<Mapping> consumer_, producer_;

 private:
  Result<int> map(std::string_view name) const {
    for (const loader::LoadedMap& m : loaded_.maps)
      if (m.name == name) return m.handle.fd();
    return fail(ENOENT, fmt::format("no map {}", name));
  }
  Result<void> fill_flows(std::string_view name, bool percpu) {
    constexpr u32 flows = 65536;
    const u32 cpus = percpu ? TRY(kernel().possible_cpus()) : 1;
    const int fd = TRY(map(name));
    for (u32 i = 0; i < flows; ++i) {
      const FlowKey key(i);
      const std::vector<u64> values(cpus, i);
      TRY(kernel().map_update_elem(fd, bytes_of(key), std::as_bytes(std::span(values)), 0));
    }
    return {};
  }
  /// A default route, then prefixes of 8 to 32 bits, most of them long, as in a router's table.
  Result<void> fill_routes() {
    const int fd = TRY(map("routes"));
    u64 state = 42;
    for (u64 i = 0; i < 10000; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      struct {
        u32 prefix, address;
      } key{i == 0 ? 0 : 8 + static_cast<u32>(state >> 58) % 25, static_cast<u32>(state >> 24)};
      const u64 value = i + 1;
      TRY(kernel().map_update_elem(fd, bytes_of(key), bytes_of(value), 0));
    }
    return {};
  }

  loader::ObjectSpec spec_;
  loader::LoadedObject loaded_;
};

class OnSkep final : public Subject {
 public:
  static Result<std::unique_ptr<Subject>> create() {
    auto on = std::make_unique<OnSkep>();
    on->session_ = TRY(embed::Session::create({}));
    return on;
  }
  Kernel& kernel() override { return session_->kernel(); }
  bool own_clock() const override { return false; }
  ~OnSkep() override { unload(); }

 protected:
  Result<void> prepare_ring(int fd) override {
    memory_ = TRY(kernel().map_memory(fd));
    consumer_ =
        TRY(Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.consumer.get(), 0, "consumer"));
    producer_ = TRY(Mapping::map(4096, PROT_READ, MAP_SHARED, memory_.fd.get(), 0, "producer"));
    return {};
  }

 private:
  std::unique_ptr<embed::Session> session_;
  MapMemory memory_;
};

class OnLinux final : public Subject {
 public:
  Kernel& kernel() override { return kernel_; }
  bool own_clock() const override { return true; }
  ~OnLinux() override { unload(); }

 protected:
  Result<void> prepare_ring(int fd) override {
    consumer_ = TRY(Mapping::map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, "consumer"));
    producer_ = TRY(Mapping::map(4096, PROT_READ, MAP_SHARED, fd, 4096, "producer"));
    return {};
  }

 private:
  client::LinuxKernel kernel_;
};

/// One kernel's figures of one operation on so many threads: net ns, round by round.
struct Figures {
  std::vector<double> net, with, without;
};

class MapBench {
 public:
  MapBench(u32 rounds, std::string only) : rounds_(rounds), only_(std::move(only)) {}
  int run();

 private:
  Result<void> operation(const Operation& of);
  void compare(std::string& line, std::string& json) const;
  Result<double> once(Subject& subject, int fd, u32 threads, bool ring);
  void print(const Operation& of);
  [[nodiscard]] bool write_json() const;

  u32 rounds_;
  std::string only_;
  std::vector<std::pair<std::string, std::unique_ptr<Subject>>> subjects_;
  std::vector<Figures> figures_;  ///< of the operation at hand: subjects x threads
  std::optional<NativeTable> native_;
  std::vector<double> native_rounds_;
  std::string json_;
};

/// On one thread: this one's; on several: the mean of all, each on its CPU.
Result<double> MapBench::once(Subject& subject, int fd, u32 threads, bool ring) {
  const u32 runs = ring ? ring_runs / threads : subject.own_clock() ? 200'000 : 400'000;
  // The ring is short: several short runs, each after all was read.
  const u32 times = ring && !subject.own_clock() ? 20 : 1;
  double sum = 0;
  for (u32 time = 0; time < times; ++time) {
    subject.drain();
    std::vector<Result<double>> took(threads, 0.0);
    std::atomic<u32> ready{0};
    const auto body = [&](u32 i) {
      if (threads > 1) {
        cpu_set_t mine;
        CPU_ZERO(&mine);
        CPU_SET(i, &mine);
        ::sched_setaffinity(0, sizeof mine, &mine);
        ready.fetch_add(1);
        while (ready.load() != threads) ::sched_yield();
      }
      took[i] = subject.time(fd, runs);
    };
    if (threads == 1) {
      body(0);
    } else {
      std::vector<std::thread> all;
      for (u32 i = 0; i < threads; ++i) all.emplace_back(body, i);
      for (std::thread& t : all) t.join();
    }
    for (Result<double>& t : took) sum += TRY(std::move(t)) / threads / times;
  }
  return sum;
}

Result<void> MapBench::operation(const Operation& of) {
  const bool ring = std::string_view(of.program) == "ringbuf";
  figures_.assign(subjects_.size() * threads_max, {});
  native_rounds_.clear();
  for (u32 round = 0; round <= rounds_; ++round) {
    native_rounds_.push_back(native_->time(400'000));
    for (std::size_t s = 0; s < subjects_.size(); ++s)
      for (u32 threads = 1; threads <= threads_max; ++threads) {
        Subject& subject = *subjects_[s].second;
        const double without = TRY(once(subject, TRY(subject.program(of.base)), threads, ring));
        const double with = TRY(
            with_context(once(subject, TRY(subject.program(of.program)), threads, ring), subjects_[s].first));
        if (round == 0) continue;  // warms up
        Figures& f = figures_[s * threads_max + threads - 1];
        f.net.push_back(with - without);
        f.with.push_back(with);
        f.without.push_back(without);
      }
  }
  return {};
}

/// skep's figure to Linux's, round by round, and what a native lookup took meanwhile.
void MapBench::compare(std::string& line, std::string& json) const {
  for (u32 threads = 1; threads <= threads_max && subjects_.size() == 2; ++threads) {
    std::vector<double> ratios;
    const Figures &ours = figures_[threads - 1], &theirs = figures_[threads_max + threads - 1];
    for (std::size_t i = 0; i < ours.net.size(); ++i)
      if (theirs.net[i] > 0) ratios.push_back(ours.net[i] / theirs.net[i]);
    const Summary ratio = summarize(ratios);
    line +=
        fmt::format(" {:>6.2f} {:<5}", ratio.median, fmt::format("±{:.2f}", (ratio.high - ratio.low) / 2));
    json += fmt::format(", \"ratio_{}\": {{\"median\": {:.4f}, \"q1\": {:.4f}, \"q3\": {:.4f}}}", threads,
                        ratio.median, ratio.low, ratio.high);
  }
  const Summary native = summarize(native_rounds_);
  line += fmt::format(" {:>7.1f}", native.median);
  json += fmt::format(", \"native_lookup_ns\": {:.3f}", native.median);
}

void MapBench::print(const Operation& of) {
  std::string line = fmt::format("{:<37}", of.name);
  std::string json = fmt::format("{}\n  {{\"operation\": \"{}\", \"program\": \"{}\", \"bar\": {}",
                                 json_.empty() ? "" : ",", of.name, of.program, of.bar);
  for (std::size_t s = 0; s < subjects_.size(); ++s)
    for (u32 threads = 1; threads <= threads_max; ++threads) {
      const Figures& f = figures_[s * threads_max + threads - 1];
      const Summary net = summarize(f.net), with = summarize(f.with), without = summarize(f.without);
      line += fmt::format(" {:>9.2f} {:<6}", net.median, fmt::format("±{:.2f}", (net.high - net.low) / 2));
      json += fmt::format(
          ", \"{}_{}\": {{\"ns\": {:.3f}, \"q1\": {:.3f}, \"q3\": {:.3f}, \"with\": {:.3f}, "
          "\"without\": {:.3f}}}",
          subjects_[s].first, threads, net.median, net.low, net.high, with.median, without.median);
    }
  compare(line, json);
  if (of.bar != 0) {
    const bool reached = summarize(figures_[0].net).median <= of.bar;
    line += fmt::format(" {:>5} {}", of.bar, reached ? "reached" : "missed");
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
  json_ += json + "}";
}

bool MapBench::write_json() const {
  std::ofstream file("maps.json");
  file << fmt::format(
      "{{\"title\": \"ns an operation, net; medians of {} rounds\", \"operations\": [{}\n]}}\n", rounds_,
      json_);
  return static_cast<bool>(file.flush());
}

int MapBench::run() {
  const std::string path = std::string(SKEP_BENCH_DIR) + "/maps.bpf.o";
  auto on_skep = OnSkep::create();
  if (!on_skep) {
    fmt::print(stderr, "bench: {}\n", on_skep.error().what);
    return 1;
  }
  subjects_.emplace_back("skep", std::move(*on_skep));
  subjects_.emplace_back("linux", std::make_unique<OnLinux>());
  for (std::size_t s = 0; s < subjects_.size(); ++s)
    if (const auto ok = subjects_[s].second->load(path); !ok) {
      fmt::print(stderr, "bench: {}: {}\n", subjects_[s].first, ok.error().what);
      if (s == 0) return 1;
      subjects_.pop_back();
      fmt::print("note: no kernel to compare with: bpf(2) is not allowed here\n");
    }
  if (auto native = NativeTable::create()) {
    native_.emplace(std::move(*native));
  } else {
    fmt::print(stderr, "bench: {}\n", native.error().what);
    return 1;
  }
  fmt::print(
      "ns an operation, net of the program without it (median of {} rounds, ± half the middle half);\n"
      "native: a random lookup among as many keys in native code, at the same time\n",
      rounds_);
  std::string head = fmt::format("{:<37}", "");
  for (const auto& [name, subject] : subjects_)
    for (u32 threads = 1; threads <= threads_max; ++threads)
      head += fmt::format(" {:>16}",
                          fmt::format("{}, {} thread{}", name.substr(0, 5), threads, threads > 1 ? "s" : ""));
  if (subjects_.size() == 2) head += " ratio, 1 th.  2 threads ";
  fmt::print("{}  native  bar\n", head);
  for (const Operation& of : operations) {
    if (!only_.empty() && only_ != of.program) continue;
    if (const auto ok = operation(of); !ok) {
      fmt::print(stderr, "bench: {}: {}\n", of.program, ok.error().what);
      return 1;
    }
    print(of);
  }
  if (!write_json()) {
    fmt::print(stderr, "bench: cannot write maps.json\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace skep::bench

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 15;
  if (rounds < 1 || rounds > 1000) {
    fmt::print(stderr, "usage: bench_maps [ROUNDS 1..1000 [OPERATION]]\n");
    return 2;
  }
  return skep::bench::MapBench(static_cast<skep::u32>(rounds), argc > 2 ? argv[2] : "").run();
}
