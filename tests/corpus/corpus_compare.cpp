// Runs the programs of objects on packets, on skep and on the kernel of this machine, and prints what
// differs: errno, return value, bytes and context out, the maps afterwards.
//   corpus_compare [--seed] [--elements FILE] [--no-jit] PACKETS.tsv OBJECT...
// All packets of a program run on one load, in their order; --seed and --elements put elements into its maps
// before (seeding.hpp). Exit status 0: nothing differs.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "client/linux_kernel.hpp"
#include "corpus/recording.hpp"
#include "corpus/seeding.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::corpus {
namespace {

struct Options {
  bool seed = false, jit = true;
  std::string elements, packets;
  std::vector<std::string> objects;
};

class Quiet final : public loader::Diagnostics {
 public:
  void message(loader::Level level, const std::string& text) override {
    if (level == loader::Level::warning && first.empty()) first = text;
  }
  std::string first;
};

/// One program of an object on one kernel.
struct Side {
  Kernel& kernel;
  loader::LoadedObject object = {};
  std::string refused = {};
  [[nodiscard]] int fd() const { return object.programs.front().handle.fd(); }
};

void load(Side& side, const loader::ObjectSpec& spec, u32 index, const loader::Environment& environment) {
  Quiet quiet;
  loader::LoadOptions options;
  options.only_program = index;
  options.ignore_pins = true;
  options.environment = environment;
  options.diagnostics = &quiet;
  std::string message;  // asked for here, so that a refused program is not verified again for its log
  options.on_attempt = [&](const loader::Attempt& attempt) {
    if (attempt.code != 0) message = attempt.message;
  };
  auto loaded = loader::load(spec, side.kernel, options);
  if (loaded)
    side.object = std::move(*loaded);
  else
    side.refused = fmt::format("{} ({})", quiet.first.empty() ? loaded.error().what : quiet.first, message);
}

struct Outcome {
  int code = 0;
  u32 retval = 0;
  u32 size = 0;
  Bytes data, context;
  bool operator==(const Outcome&) const = default;
  [[nodiscard]] std::string text() const {
    return fmt::format("errno {} retval {:#x} size {} data {} ctx {}", code, retval, size,
                       hex(data.data(), std::min<std::size_t>(data.size(), 160)),
                       fnv64(context.data(), context.size()));
  }
};

Outcome run(Side& side, ProgType type, const Bytes& packet) {
  TestRunSpec spec;
  spec.data_in = packet;
  spec.data_out_size = static_cast<u32>(packet.size()) + 2048;
  spec.repeat = 1;
  if (type != ProgType::xdp && type != ProgType::flow_dissector) spec.ctx_out_size = 192;
  const auto result = side.kernel.prog_test_run(side.fd(), spec);
  if (!result) return {.code = result.error().code};
  return {0, result->retval, result->data_size_out, result->data_out, result->ctx_out};
}

/// Keys and values in order; values of processors sorted: which one ran is chance.
std::string dump(Kernel& kernel, const loader::LoadedMap& map) {
  const auto info = kernel.map_info(map.handle.fd());
  if (!info) return {};
  const u32 cpus = is_percpu(info->type) ? kernel.possible_cpus().value_or(1) : 1;
  const std::size_t slot = is_percpu(info->type) ? (info->value_size + 7) / 8 * 8 : info->value_size;
  Bytes key, next(info->key_size), value(slot * cpus);
  std::vector<std::string> rows;
  while (rows.size() < 10000 && kernel.map_get_next_key(map.handle.fd(), key, next)) {
    key = next;
    if (!kernel.map_lookup_elem(map.handle.fd(), key, value)) continue;
    std::vector<std::string> parts;
    for (u32 cpu = 0; cpu < cpus; ++cpu) parts.push_back(hex(value.data() + cpu * slot, info->value_size));
    std::ranges::sort(parts);
    const bool zero = std::ranges::all_of(value, [](std::byte b) { return b == std::byte{0}; });
    if (!zero) rows.push_back(fmt::format("{}={}", hex(key.data(), key.size()), fmt::join(parts, "/")));
  }
  std::ranges::sort(rows);
  return fmt::format("{}", fmt::join(rows, ";"));
}

struct Count {
  u64 equal = 0, differ = 0;
};

void compare_program(Side& ours, Side& linux, const loader::ProgramDef& program, const Packets& packets,
                     Count& count) {
  const auto differs = [&](const std::string& where, const std::string& us, const std::string& them) {
    ++count.differ;
    fmt::print("{}\t{}\n  skep  {}\n  linux {}\n", program.name, where, us, them);
  };
  if (!ours.refused.empty() || !linux.refused.empty()) {
    if (ours.refused.empty() != linux.refused.empty()) differs("load", ours.refused, linux.refused);
    return;
  }
  for (const auto& [name, packet] : packets) {
    const Outcome a = run(ours, program.type, packet), b = run(linux, program.type, packet);
    if (a == b)
      ++count.equal;
    else
      differs(name, a.text(), b.text());
  }
  for (std::size_t i = 0; i < ours.object.maps.size(); ++i) {
    const loader::LoadedMap& map = ours.object.maps[i];
    const std::string a = dump(ours.kernel, map), b = dump(linux.kernel, linux.object.maps[i]);
    if (a == b)
      ++count.equal;
    else
      differs("map " + map.name, a.substr(0, 600), b.substr(0, 600));
  }
}

void fill(Side& side, const Options& options) {
  if (!side.refused.empty()) return;
  if (options.seed) seed(side.kernel, side.object);
  if (!options.elements.empty()) put_elements(side.kernel, side.object, options.elements);
}

int compare(const Options& options) {
  const Packets packets = read_packets(options.packets);
  loader::ObjectSpec everything;
  everything.programs.emplace_back().attach_needs_btf = true;
  const loader::MachineEnvironment machine = loader::machine_environment(everything);
  client::LinuxKernel linux;
  Count count;
  for (const std::string& path : options.objects) {
    Quiet quiet;
    auto spec = loader::open_object(path, &quiet);
    if (!spec) {
      fmt::print(stderr, "{}: {}\n", path, spec.error().what);
      return 2;
    }
    for (u32 i = 0; i < spec->programs.size(); ++i) {
      runtime::Config config;
      config.no_jit = !options.jit;
      auto kernel = runtime::UserKernel::create(config);
      if (!kernel) return 2;
      Side ours{**kernel}, theirs{linux};
      load(ours, *spec, i, machine.environment);
      load(theirs, *spec, i, machine.environment);
      fill(ours, options);
      fill(theirs, options);
      compare_program(ours, theirs, spec->programs[i], packets, count);
    }
  }
  fmt::print("{} equal, {} differ\n", count.equal, count.differ);
  return count.differ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace skep::corpus

int main(int argc, char** argv) {
  skep::corpus::Options options;
  std::vector<std::string> words(argv + 1, argv + argc);
  while (!words.empty() && words.front().starts_with("--")) {
    const std::string word = words.front();
    words.erase(words.begin());
    if (word == "--seed") {
      options.seed = true;
    } else if (word == "--no-jit") {
      options.jit = false;
    } else if (word == "--elements" && !words.empty()) {
      options.elements = words.front();
      words.erase(words.begin());
    } else {
      words.clear();
    }
  }
  if (words.size() < 2) {
    std::cerr << "corpus_compare [--seed] [--elements FILE] [--no-jit] PACKETS.tsv OBJECT...\n";
    return 2;
  }
  options.packets = words.front();
  options.objects.assign(words.begin() + 1, words.end());
  try {
    return skep::corpus::compare(options);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
