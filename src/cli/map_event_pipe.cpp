// `map event_pipe`: what programs output to a perf_event_array, as it comes.
#include <array>
#include <cerrno>

#include "cli/map_view.hpp"
#include "cli/stop_signals.hpp"
#include "cli/xlated_view.hpp"
#include "consumers/event_reader.hpp"

namespace skep::cli {

namespace {

using consumers::EventReader;
using consumers::EventSource;

constexpr u32 pages = 16;  ///< bpftool's
// PERF_RECORD_*
constexpr u32 record_lost = 2, record_sample = 9;

struct Where {
  std::optional<u32> cpu, index;
};

Outcome<Where> take_where(Args& args) {
  Where where;
  while (!args.empty()) {
    if (args.left() < 2) return refuse(fmt::format("what is '{}'?", args.peek()));
    if (args.take_if("cpu")) {
      const std::string word = TRY(args.take());
      const auto cpu = parse_unsigned(word);
      if (!cpu || *cpu > INT32_MAX) return refuse(fmt::format("can't parse {} as CPU ID", word));
      where.cpu = static_cast<u32>(*cpu);
    } else if (args.take_if("index")) {
      const std::string word = TRY(args.take());
      const auto index = parse_unsigned(word);
      if (!index || *index > INT32_MAX) return refuse(fmt::format("can't parse {} as index", word));
      where.index = static_cast<u32>(*index);
    } else {
      return refuse(fmt::format("what is '{}'?", args.peek()));
    }
  }
  if (where.cpu.has_value() != where.index.has_value())
    return refuse("cpu and index must be specified together");
  return where;
}

void begin_event(JsonWriter& json, u32 type, const EventSource& source) {
  json.begin_object();
  json.field("type", type);
  json.field("cpu", source.cpu);
  json.field("index", source.index);
}

void print_sample(Cli& cli, const EventSource& source, u64 time, ByteView data) {
  constexpr u64 second = 1000000000;
  if (!cli.json_output()) {
    cli.print("== @{}.{:09} CPU: {} index: {} =====\n{}\n", time / second, time % second, source.cpu,
              source.index, hex_bytes(data));
    return;
  }
  JsonWriter& json = cli.json();
  begin_event(json, record_sample, source);
  json.field("timestamp", time);
  json.name("data");
  json.begin_array();
  for (const std::byte byte : data) json.number(static_cast<u64>(byte));
  json.end_array();
  json.end_object();
}

void print_lost(Cli& cli, const EventSource& source, u64 id, u64 count) {
  if (!cli.json_output()) return cli.print("lost {} events\n", count);
  JsonWriter& json = cli.json();
  begin_event(json, record_lost, source);
  json.name("lost");
  json.begin_object();
  json.field("id", id);
  json.field("count", count);
  json.end_object();
  json.end_object();
}

void print_other(Cli& cli, const EventSource& source, u32 type, u32 size) {
  if (!cli.json_output()) return cli.print("unknown event type={} size={}\n", type, size);
  begin_event(cli.json(), type, source);
  cli.json().end_object();
}

}  // namespace

Outcome<void> map_event_pipe(Cli& cli, Args args) {
  const MapRef map = TRY(take_map(cli, args));
  if (map.info.type != MapType::perf_event_array) return refuse("map is not a perf event array");
  const Where where = TRY(take_where(args));
  Kernel& kernel = *TRY(cli.kernel());
  const StopSignals stop;
  auto reader = where.cpu ? EventReader::open(kernel, map.handle.fd(),
                                              std::array{EventSpec{*where.cpu, *where.index, pages}})
                          : EventReader::open(kernel, map.handle.fd(), pages);
  if (!reader) {
    auto failure = refuse(fmt::format("failed to create perf buffer: {} ({})",
                                      errno_text(reader.error().code), reader.error().code));
    failure.error().detail = reader.error().what;
    return failure;
  }
  const consumers::EventVisitor visitor{
      .sample = [&](const EventSource& source, u64 time,
                    ByteView data) { print_sample(cli, source, time, data); },
      .lost = [&](const EventSource& source, u64 id, u64 count) { print_lost(cli, source, id, count); },
      .other = [&](const EventSource& source, u32 type, u32 size) { print_other(cli, source, type, size); }};
  if (cli.json_output()) cli.json().begin_array();
  while (cli.out().good()) {
    std::array<pollfd, 2> wait{{{stop.fd(), POLLIN, 0}, {(*reader)->fd(), POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR)
      return refuse(fmt::format("perf buffer polling failed: {} ({})", errno_text(errno), errno));
    const auto read = (*reader)->consume(visitor);
    cli.out().flush();
    if (wait[0].revents != 0) {
      cli.err().write("Stopping...\n");
      break;
    }
    if (!read) return refuse(fmt::format("perf buffer polling failed: {}", read.error().what));
  }
  if (cli.json_output()) cli.json().end_array();
  return {};
}

}  // namespace skep::cli
