// `skep run OBJECT --port pcap:IN[,OUT]`: an XDP program over a capture, without a daemon: the verdict of
// each packet, what the program traced, and its maps at the end.
#include <map>

#include "cli/map_view.hpp"
#include "cli/tables.hpp"
#include "embed/capture.hpp"

namespace skep::cli {
namespace {

Outcome<void> take_port(const std::string& word, embed::CaptureRequest& request) {
  constexpr std::string_view pcap = "pcap:";
  if (!word.starts_with(pcap))
    return refuse(fmt::format("'{}' is not a port that run can use: pcap:IN[,OUT]", word));
  const std::string files = word.substr(pcap.size());
  const std::size_t comma = files.find(',');
  request.in = files.substr(0, comma);
  if (comma != std::string::npos) request.out = files.substr(comma + 1);
  if (request.in.empty() || (comma != std::string::npos && request.out.empty()))
    return refuse(fmt::format("'{}' names no file: pcap:IN[,OUT]", word));
  return {};
}

Outcome<embed::CaptureRequest> take_request(Args& args) {
  embed::CaptureRequest request;
  while (!args.empty()) {
    const std::string word = TRY(args.take());
    if (word == "--port" || word == "port") {
      TRY(args.require(1));
      TRY(take_port(TRY(args.take()), request));
    } else if (word == "--program" || word == "program") {
      TRY(args.require(1));
      request.program = TRY(args.take());
    } else if (word == "--ifindex" || word == "ifindex") {
      TRY(args.require(1));
      request.ifindex = TRY(parse_u32(TRY(args.take()), "ifindex"));
    } else if (word == "--no-jit") {
      request.jit = false;
    } else if (word == "--harden") {
      request.harden = true;
    } else if (word == "--perf-map") {
      request.perf_map = true;
    } else if (!word.starts_with("-") && request.object.empty()) {
      request.object = word;
    } else {
      return refuse(fmt::format(
          "expected OBJECT, --port, --program, --ifindex, --no-jit, --harden or --perf-map, got: '{}'?",
          word));
    }
  }
  if (request.object.empty() || request.in.empty()) return wrong_usage();
  return request;
}

void print_packet(Cli& cli, const embed::PacketReport& packet) {
  if (cli.json_output()) {
    JsonWriter& json = cli.json();
    json.begin_object();
    json.field("packet", packet.number);
    json.field("bytes", packet.length_in);
    json.field("verdict", embed::verdict_name(packet.verdict));
    if (packet.length_out != packet.length_in) json.field("bytes_out", packet.length_out);
    if (packet.redirect_ifindex != 0) json.field("redirect_ifindex", packet.redirect_ifindex);
    if (!packet.trace.empty()) {
      json.name("trace");
      json.begin_array();
      for (const std::string& line : packet.trace) json.string(line);
      json.end_array();
    }
    json.end_object();
    return;
  }
  cli.print("packet {}: {} bytes, {}", packet.number, packet.length_in, embed::verdict_name(packet.verdict));
  if (packet.redirect_ifindex != 0) cli.print(" to interface {}", packet.redirect_ifindex);
  if (packet.length_out != packet.length_in) cli.print(", now {} bytes", packet.length_out);
  cli.print("\n");
  for (const std::string& line : packet.trace) cli.print("\ttrace: {}\n", line);
}

Outcome<void> print_maps(Cli& cli, Kernel& kernel, const embed::Object& object) {
  if (cli.json_output()) cli.json().name("maps"), cli.json().begin_array();
  for (const loader::LoadedMap& map : object.loaded.maps) {
    MapRef ref{{}, TRY(info_of_map(kernel, map.handle))};
    auto handle = kernel.get_fd_by_id(ObjectKind::map, ref.info.id);
    if (!handle) return kernel_refused(map.name, handle.error());
    ref.handle = std::move(*handle);
    if (cli.json_output()) {
      cli.json().begin_object();
      print_map_header(cli.json(), ref.info);
      cli.json().name("elements");
    } else {
      cli.print("map {}:\n", map.name);
    }
    TRY(print_elements(cli, kernel, ref));
    if (cli.json_output()) cli.json().end_object();
  }
  if (cli.json_output()) cli.json().end_array();
  return {};
}

}  // namespace

Outcome<void> run_capture(Cli& cli, Args args) {
  for (Args rest = args; !rest.empty(); rest.skip())
    if (rest.peek() == "--raw") return run_bare(cli, args);
  const embed::CaptureRequest request = TRY(take_request(args));
  embed::Messages messages;
  const auto capture = embed::Capture::open(request, messages);
  if (!capture) {
    if (!messages.verifier_log().empty()) cli.libbpf(messages.verifier_log());
    return refuse(capture.error().what);
  }
  embed::Capture& run = **capture;
  if (cli.json_output()) {
    cli.json().begin_object();
    cli.json().field("object", request.object);
    cli.json().field("program", run.program_name());
    cli.json().name("packets");
    cli.json().begin_array();
  }
  std::map<std::string, u64> verdicts;
  const auto ran = run.run([&](const embed::PacketReport& packet) {
    ++verdicts[embed::verdict_name(packet.verdict)];
    print_packet(cli, packet);
  });
  if (cli.json_output()) {
    cli.json().end_array();
    cli.json().name("verdicts");
    cli.json().begin_object();
    for (const auto& [name, count] : verdicts) cli.json().field(name, count);
    cli.json().end_object();
  } else {
    for (const auto& [name, count] : verdicts) cli.print("{}: {}\n", name, count);
  }
  TRY(print_maps(cli, run.kernel(), run.object()));
  if (cli.json_output()) cli.json().end_object();
  if (!ran) return refuse(ran.error().what);
  return {};
}

}  // namespace skep::cli
