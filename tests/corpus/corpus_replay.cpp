// Replays recorded test runs on skep and prints the share of equal rows of each program type.
//   corpus_replay [--maps MAPS.tsv[.gz]] [--type TYPE] [--object NAME] [--program NAME] [--verbose]
//   PACKETS.tsv RUNS.tsv[.gz] DIR...
// DIR... hold the objects. Modes: "fresh", each packet finds the program's maps as loading left them; "seq",
// the program is loaded once for all packets; "seed1", once, with elements in its maps as seed() makes them.
// Each object is replayed in a process of its own, in a network namespace of its own where that is allowed,
// so that a crash costs one object.
#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <set>
#include <tuple>

#include "corpus/recording.hpp"
#include "corpus/seeding.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::corpus {
namespace {

struct Options {
  loader::Environment environment;  ///< this machine's
  std::string packets, runs, maps;
  std::vector<std::string> directories;
  std::string type, object, program;
  bool verbose = false;
};

class Warnings final : public loader::Diagnostics {
 public:
  void message(loader::Level level, const std::string& text) override {
    if (level == loader::Level::warning && first.empty()) first = text.substr(0, text.find('\n'));
  }
  std::string first;
};

/// The object's maps as the recording made them: sizes that its own programs would set before they load it.
void complete_maps(loader::ObjectSpec& spec) {
  for (loader::MapDef& map : spec.maps) {
    const bool sized_later = map.spec.max_entries == 0;
    switch (map.spec.type) {
      case MapType::ringbuf:
      case MapType::user_ringbuf:
        if (sized_later) map.spec.max_entries = 4096;
        map.spec.key_size = map.spec.value_size = 0;
        break;
      case MapType::perf_event_array:
        map.spec.key_size = map.spec.value_size = 4;
        break;
      case MapType::cpumap:
        map.spec.max_entries = std::min(map.spec.max_entries, 2u);
        break;
      case MapType::stack_trace:
        if (map.spec.value_size == 0) map.spec.value_size = 127 * 8;
        break;
      default:
        break;
    }
    if (map.spec.max_entries == 0 && map.spec.type != MapType::sk_storage &&
        map.spec.type != MapType::perf_event_array && map.spec.type != MapType::task_storage &&
        map.spec.type != MapType::inode_storage && map.spec.type != MapType::cgrp_storage &&
        map.spec.type != MapType::cgroup_storage && map.spec.type != MapType::percpu_cgroup_storage)
      map.spec.max_entries = 128;
    if (map.inner && map.inner->spec.max_entries == 0)
      map.inner->spec.max_entries = map.inner->spec.type == MapType::ringbuf ? 4096 : 16;
  }
}

/// An object that needs all that a machine has to say: its types and its configuration.
loader::ObjectSpec whole_machine() {
  loader::ObjectSpec spec;
  spec.programs.emplace_back().attach_needs_btf = true;
  loader::Extern& config = spec.externs.emplace_back();
  config.kind = loader::ExternKind::kconfig;
  config.name = "CONFIG_HZ";
  return spec;
}

/// Programs that the selftests' own loader loads with each of the object's others ("__auxiliary").
std::set<std::string, std::less<>> auxiliary_programs(const loader::ObjectSpec& spec) {
  std::set<std::string, std::less<>> names;
  for (u32 id = 1; spec.btf && id <= spec.btf->type_count(); ++id) {
    const btf::Type& tag = spec.btf->type(id);
    if (tag.kind == btf::Kind::decl_tag && tag.component == -1 &&
        spec.btf->string(tag.name_off) == "comment:test_auxiliary")
      names.emplace(spec.btf->name(tag.type));
  }
  return names;
}

/// An object that is replayed, and the kernel that it is loaded into: read and made once for all its
/// programs.
struct Object {
  std::optional<loader::ObjectSpec> spec;
  std::vector<std::pair<ProgType, AttachType>> types;  ///< of its programs, as the file says
  std::set<std::string, std::less<>> auxiliary;
  bool weak_externs = false;
  std::unique_ptr<Kernel> kernel;
};

class Replay {
 public:
  Replay(const Options& options, const Packets& packets, const Recording& recording, const std::string& path,
         Object& object)
      : options_(options), packets_(packets), recording_(recording), path_(path), object_(object) {}

  void run() {
    for (const auto& [mode, rows] : recording_.modes) {
      if (mode == "fresh") {
        bool loaded = false;
        for (const Row& row : rows) {
          if (!row.stable) continue;
          if (!loaded && !load()) return refuse_all();
          std::optional<MapState> before = map_state();
          compare(mode, row);
          loaded = before && restore(*before);
        }
      } else {
        if (!load()) return refuse_all();
        if (mode == "seed1") seed(kernel(), *loaded_);
        for (const Row& row : rows) compare(mode, row);
        const auto maps = recording_.maps.find(mode);
        if (maps != recording_.maps.end()) compare_maps(mode, maps->second);
      }
    }
  }

 private:
  /// As the recording did: functions of the kernel that it does not have are no reason to refuse what does
  /// not call them.
  bool load() {
    if (!object_.spec && !read()) return false;
    if (object_.spec && load_once()) return true;
    if (why_.find("not found in kernel BTF") == std::string::npos || object_.weak_externs) return false;
    object_.weak_externs = true;
    for (loader::Extern& external : object_.spec->externs) external.weak = true;
    return load_once();
  }
  bool read() {
    Warnings warnings;
    auto spec = loader::open_object(path_, &warnings);
    if (!spec) return why(warnings.first, spec.error().what);
    complete_maps(*spec);
    object_.spec.emplace(std::move(*spec));
    for (loader::ProgramDef& program : object_.spec->programs)
      object_.types.emplace_back(program.type, program.expected_attach_type);
    object_.auxiliary = auxiliary_programs(*object_.spec);
    return true;
  }

  /// The program and those that the object calls auxiliary: program arrays may need them.
  bool load_once() {
    loaded_.reset();
    Warnings warnings;
    loader::ObjectSpec& spec = *object_.spec;
    bool found = false;
    for (std::size_t i = 0; i < spec.programs.size(); ++i) {
      loader::ProgramDef& program = spec.programs[i];
      const bool wanted = program.name == recording_.program;
      std::tie(program.type, program.expected_attach_type) = object_.types[i];
      program.autoload = wanted || object_.auxiliary.contains(program.name);
      found |= wanted;
      if (program.type == ProgType::unspec) complete_type(program, wanted);
    }
    if (!found) return why("", "no such program");
    if (object_.kernel == nullptr) {
      runtime::Config config;
      config.cpus = 2;
      auto kernel = runtime::UserKernel::create(config);
      if (!kernel) return why("", kernel.error().what);
      object_.kernel = std::move(*kernel);
    }
    std::string message;
    loader::LoadOptions options;
    options.ignore_pins = true;
    options.environment = options_.environment;
    options.diagnostics = &warnings;
    options.on_attempt = [&](const loader::Attempt& attempt) {
      if (attempt.code != 0) message = attempt.message;
    };
    auto loaded = loader::load(spec, *object_.kernel, options);
    if (!loaded) return why(message.empty() ? warnings.first : message, loaded.error().what);
    loaded_ = std::move(*loaded);
    for (const loader::LoadedProgram& program : loaded_->programs)
      if (program.name == recording_.program) program_ = program.handle.fd();
    return true;
  }
  /// A section's name that says nothing: what the recording took the program for. Programs that are not
  /// loaded need some type, too.
  void complete_type(loader::ProgramDef& program, bool wanted) const {
    program.type = ProgType::socket_filter;
    for (u32 t = 1; t < prog_type_count && wanted; ++t)
      if (prog_type_name(static_cast<ProgType>(t)) == recording_.type)
        program.type = static_cast<ProgType>(t);
    if (program.type == ProgType::xdp) program.expected_attach_type = AttachType::xdp;
  }
  bool why(const std::string& first, const std::string& second) {
    why_ = first.empty() ? second : first;
    return false;
  }

  [[nodiscard]] Kernel& kernel() const { return *object_.kernel; }

  void verdict(const std::string& mode, std::string_view kind, const std::string& detail) {
    std::cout << recording_.type << '\t' << mode << '\t' << kind << '\t' << recording_.object << '\t'
              << recording_.program << '\t' << detail << '\n';
  }
  void refuse_all() {
    for (const auto& [mode, rows] : recording_.modes)
      for (const Row& row : rows)
        if (row.stable) verdict(mode, "load", why_);
  }

  void compare(const std::string& mode, const Row& row) {
    const auto packet = packets_.find(row.packet);
    if (packet == packets_.end()) return;
    TestRunSpec spec;
    spec.data_in = packet->second;
    spec.data_out_size = static_cast<u32>(packet->second.size()) + 2048;
    spec.repeat = 1;
    if (recording_.type != "xdp" && recording_.type != "flow_dissector") spec.ctx_out_size = 192;
    const auto result = kernel().prog_test_run(program_, spec);
    if (!row.stable) return;
    const int code = result ? 0 : result.error().code;
    if (code != row.code) {
      verdict(mode, "errno",
              fmt::format("{}: {} not {} {}", row.packet, code, row.code, result ? "" : result.error().what));
      return;
    }
    if (code != 0) return verdict(mode, "equal", "");
    const auto retval = static_cast<int>(result->retval);
    if (retval != row.retval)
      return verdict(mode, "retval", fmt::format("{}: {} not {}", row.packet, retval, row.retval));
    const Bytes& out = result->data_out;
    const std::string text = out == packet->second ? "="
                             : out.size() <= 512   ? hex(out.data(), out.size())
                                                   : "fnv:" + fnv64(out.data(), out.size());
    if (result->data_size_out != row.out_len || text != row.out)
      return verdict(mode, "out", fmt::format("{}: {} not {}", row.packet, text, row.out));
    const std::string context = context_text(result->ctx_out);
    if (context != row.context)
      return verdict(mode, "ctx", fmt::format("{}: {} not {}", row.packet, context, row.context));
    verdict(mode, "equal", "");
  }

  static std::string context_text(const Bytes& context) {
    std::string text;
    if (context.size() < 192) return text;
    const auto word = [&](std::size_t at) { return skep::load<u32>(context.data() + at); };
    if (word(8) != 0) text += fmt::format("mark={:x},", word(8));
    if (word(32) != 0) text += fmt::format("prio={:x},", word(32));
    if (word(152) != 0 || word(156) != 0) text += "tstamp,";
    if (word(48) != 0 || word(52) != 0 || word(56) != 0 || word(60) != 0 || word(64) != 0)
      text += fmt::format("cb={:x}:{:x}:{:x}:{:x}:{:x},", word(48), word(52), word(56), word(60), word(64));
    return text;
  }

  using Elements = std::map<Bytes, Bytes>;
  using MapState = std::vector<std::pair<int, Elements>>;

  /// What programs may have changed; nothing if it cannot be told or undone: then each packet costs a load.
  std::optional<MapState> map_state() {
    MapState state;
    for (const loader::LoadedMap& map : loaded_->maps) {
      const auto info = map.handle ? kernel().map_info(map.handle.fd()) : Result<MapInfo>(fail(ENOENT, ""));
      if (!info) return std::nullopt;
      if (info->frozen || only_users_write(info->type)) continue;
      constexpr u64 bytes_max = 1 << 16;
      const bool elements = is_array(info->type) || info->type == MapType::hash ||
                            info->type == MapType::lru_hash || is_percpu(info->type) ||
                            info->type == MapType::lpm_trie;
      if (!elements || (is_array(info->type) && u64{info->max_entries} * info->value_size > bytes_max))
        return std::nullopt;
      state.emplace_back(map.handle.fd(), elements_of(map.handle.fd(), *info));
    }
    return state;
  }
  static bool only_users_write(MapType type) {
    return type == MapType::prog_array || type == MapType::perf_event_array || type == MapType::devmap ||
           type == MapType::devmap_hash || type == MapType::cpumap || type == MapType::xskmap ||
           type == MapType::cgroup_array;
  }
  Elements elements_of(int map, const MapInfo& info) {
    const std::size_t slot = (info.value_size + 7) / 8 * 8;
    Elements all;
    Bytes key, next(info.key_size), value(is_percpu(info.type) ? slot * 2 : info.value_size);
    while (kernel().map_get_next_key(map, key, next)) {
      key = next;
      if (kernel().map_lookup_elem(map, key, value)) all.emplace(key, value);
    }
    return all;
  }
  bool restore(const MapState& before) {
    for (const auto& [map, elements] : before) {
      const auto info = kernel().map_info(map);
      if (!info) return false;
      const Elements now = elements_of(map, *info);
      // Values of a struct may hold objects that nobody sees from outside: writing them lets these go.
      const bool may_hold_objects = info->btf_value_type_id != 0;
      if (now == elements && !may_hold_objects) continue;
      for (const auto& [key, value] : now)
        if (!elements.contains(key) && !kernel().map_delete_elem(map, key)) return false;
      for (const auto& [key, value] : elements) {
        const auto found = now.find(key);
        if ((found == now.end() || found->second != value || may_hold_objects) &&
            !kernel().map_update_elem(map, key, value, uapi::ANY))
          return false;
      }
      if (elements_of(map, *info) != elements) return false;
    }
    return true;
  }

  /// The map's elements as the recording wrote them down: sorted, values of processors sorted, zeroes of
  /// arrays left out.
  std::string dump(const loader::LoadedMap& map, const MapInfo& info) {
    const std::size_t slot = (info.value_size + 7) / 8 * 8;
    Bytes key, next(info.key_size), value(is_percpu(info.type) ? slot * 2 : info.value_size);
    std::vector<std::string> rows;
    while (kernel().map_get_next_key(map.handle.fd(), key, next)) {
      key = next;
      if (!kernel().map_lookup_elem(map.handle.fd(), key, value)) continue;
      const bool zero = std::ranges::all_of(value, [](std::byte b) { return b == std::byte{0}; });
      if (zero && is_array(info.type)) continue;
      std::string text;
      if (is_percpu(info.type)) {
        std::vector<std::string> parts;
        for (u32 cpu = 0; cpu < 2; ++cpu) parts.push_back(hex(value.data() + cpu * slot, info.value_size));
        std::ranges::sort(parts);
        text = parts[0] + "/" + parts[1];
      } else {
        text = hex(value.data(), value.size());
      }
      rows.push_back(hex(key.data(), key.size()) + "=" + text);
    }
    std::ranges::sort(rows);
    std::string all;
    for (const std::string& row : rows) all += row + ";";
    return all;
  }

  void compare_maps(const std::string& mode, const std::vector<MapRow>& rows) {
    for (const MapRow& row : rows) {
      if (!row.stable) continue;
      const auto map =
          std::ranges::find_if(loaded_->maps, [&](const loader::LoadedMap& m) { return m.name == row.map; });
      const auto info = map != loaded_->maps.end() && map->handle
                            ? kernel().map_info(map->handle.fd())
                            : Result<MapInfo>(fail(ENOENT, "no such map"));
      const std::string ours = info ? dump(*map, *info) : "none";
      const bool equal = info && fnv64(ours.data(), ours.size()) == row.fnv;
      verdict(
          mode, equal ? "map-equal" : "map",
          equal ? "" : fmt::format("{}: {} not {}", row.map, ours.substr(0, 300), row.dump.substr(0, 300)));
    }
  }

  const Options& options_;
  const Packets& packets_;
  const Recording& recording_;
  std::string path_;
  Object& object_;
  std::string why_;
  std::optional<loader::LoadedObject> loaded_;
  int program_ = -1;
};

void own_network() {
  if (::unshare(CLONE_NEWNET) != 0) return;
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  ::ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_UP;
  ::ioctl(fd, SIOCSIFFLAGS, &request);
  ::close(fd);
}

std::string find_object(const Options& options, const std::string& name) {
  for (const std::string& directory : options.directories)
    if (const std::string path = directory + "/" + name; std::filesystem::exists(path)) return path;
  return {};
}

/// What a replaying process wrote: lines of type, mode, kind, object, program, detail.
struct Tally {
  std::map<std::string, std::map<std::string, u64>> by_type;
  std::map<std::string, u64> reasons;
  void add(const std::string& line, const Options& options) {
    std::vector<std::string> f;
    std::size_t begin = 0;
    while (f.size() < 5) {
      const auto end = line.find('\t', begin);
      if (end == std::string::npos) return;
      f.push_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    f.push_back(line.substr(begin));
    ++by_type[f[0]][f[2]];
    if (f[2] == "load") ++reasons[f[5]];
    if (options.verbose && f[2] != "equal" && f[2] != "map-equal") std::cout << line << '\n';
  }
};

void replay_object(const Options& options, const Packets& packets,
                   const std::vector<const Recording*>& programs, Tally& tally) {
  const std::string path = find_object(options, programs.front()->object);
  if (path.empty()) return;
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) return;
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe[1], 1);
    ::close(pipe[0]);
    own_network();
    Object object;
    for (const Recording* program : programs) {
      Replay(options, packets, *program, path, object).run();
      std::cout.flush();
    }
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::FILE* in = ::fdopen(pipe[0], "r");
  char* line = nullptr;
  std::size_t size = 0;
  while (::getline(&line, &size, in) > 0) {
    std::string text = line;
    if (!text.empty() && text.back() == '\n') text.pop_back();
    tally.add(text, options);
  }
  std::free(line);
  std::fclose(in);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0)
    std::cout << programs.front()->object << ": the replaying process ended with status " << status << '\n';
}

void print(const Tally& tally) {
  fmt::print("{:<16} {:>8} {:>8} {:>7}  {:>7} {:>6} {:>6} {:>6} {:>6}  {:>6} {:>6}\n", "type", "rows",
             "equal", "%", "load", "errno", "retval", "out", "ctx", "maps", "equal");
  std::map<std::string, u64> sum;
  const auto line = [](const std::string& name, const std::map<std::string, u64>& kinds) {
    const auto get = [&](const char* kind) {
      const auto found = kinds.find(kind);
      return found == kinds.end() ? u64{0} : found->second;
    };
    const u64 rows = get("equal") + get("load") + get("errno") + get("retval") + get("out") + get("ctx");
    fmt::print(
        "{:<16} {:>8} {:>8} {:>7.2f}  {:>7} {:>6} {:>6} {:>6} {:>6}  {:>6} {:>6}\n", name, rows, get("equal"),
        rows == 0 ? 0.0 : 100.0 * static_cast<double>(get("equal")) / static_cast<double>(rows), get("load"),
        get("errno"), get("retval"), get("out"), get("ctx"), get("map") + get("map-equal"), get("map-equal"));
  };
  for (const auto& [type, kinds] : tally.by_type) {
    line(type, kinds);
    for (const auto& [kind, count] : kinds) sum[kind] += count;
  }
  line("all", sum);
  std::vector<std::pair<u64, std::string>> reasons;
  for (const auto& [reason, count] : tally.reasons) reasons.emplace_back(count, reason);
  std::ranges::sort(reasons, std::greater());
  if (!reasons.empty()) fmt::print("\nrows that are missing because a program was refused:\n");
  for (std::size_t i = 0; i < std::min<std::size_t>(reasons.size(), 60); ++i)
    fmt::print("{:>7}  {}\n", reasons[i].first, reasons[i].second);
}

int run(Options& options) {
  const Packets packets = read_packets(options.packets);
  const loader::ObjectSpec everything = whole_machine();
  const loader::MachineEnvironment machine = loader::machine_environment(everything);
  options.environment = machine.environment;
  const std::vector<Recording> recordings = read_recordings(options.runs, options.maps);
  std::map<std::string, std::vector<const Recording*>> by_object;
  for (const Recording& recording : recordings) {
    if (!options.type.empty() && recording.type != options.type) continue;
    if (!options.object.empty() && recording.object != options.object) continue;
    if (!options.program.empty() && recording.program != options.program) continue;
    by_object[recording.object].push_back(&recording);
  }
  Tally tally;
  for (const auto& [object, programs] : by_object) replay_object(options, packets, programs, tally);
  print(tally);
  return tally.by_type.empty() ? 1 : 0;
}

}  // namespace
}  // namespace skep::corpus

int main(int argc, char** argv) {
  skep::corpus::Options options;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::string(argv[++i]) : std::string(); };
    if (word == "--maps")
      options.maps = value();
    else if (word == "--type")
      options.type = value();
    else if (word == "--object")
      options.object = value();
    else if (word == "--program")
      options.program = value();
    else if (word == "--verbose")
      options.verbose = true;
    else
      words.push_back(word);
  }
  if (words.size() < 3) {
    std::cerr << "corpus_replay [--maps MAPS] [--type T] [--object O] [--program P] [--verbose] PACKETS RUNS "
                 "DIR...\n";
    return 2;
  }
  options.packets = words[0];
  options.runs = words[1];
  options.directories.assign(words.begin() + 2, words.end());
  try {
    return skep::corpus::run(options);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
