// `skep run --raw FILE`: bare instructions on memory, in this process: R0, and the memory afterwards.
#include <fmt/format.h>

#include "cli/bare_words.hpp"
#include "cli/tables.hpp"
#include "embed/session.hpp"
#include "runtime/bare_code.hpp"

namespace skep::cli {
namespace {

struct BareRequest {
  std::string file;
  std::vector<std::byte> memory;
  bool has_memory = false;
  bool jit = true;
  bool verified = true;
  ProgType type = ProgType::syscall;
};

Outcome<BareRequest> take_bare_request(Args& args) {
  BareRequest request;
  bool typed = false;
  while (!args.empty()) {
    const std::string word = TRY(args.take());
    const auto value = [&]() -> Outcome<std::string> {
      TRY(args.require(1));
      return args.take();
    };
    if (word == "--raw") {
      request.file = TRY(value());
    } else if (word == "--mem") {
      request.memory = TRY(parse_bytes(TRY(value())));
      request.has_memory = true;
    } else if (word == "--engine") {
      const std::string engine = TRY(value());
      if (engine != "interpreter" && engine != "jit")
        return refuse(fmt::format("'{}' is not an engine: interpreter or jit", engine));
      request.jit = engine == "jit";
    } else if (word == "--no-jit") {
      request.jit = false;
    } else if (word == "--unverified") {
      request.verified = false;
    } else if (word == "--type") {
      request.type = TRY(parse_prog_type(TRY(value())));
      typed = true;
    } else {
      return refuse(
          fmt::format("expected --raw, --mem, --engine, --no-jit, --unverified or --type, got: '{}'?", word));
    }
  }
  if (request.file.empty()) return wrong_usage();
  if (typed && request.verified)
    return refuse(
        "--type says whose helpers --unverified instructions call; else they are a syscall program");
  return request;
}

void print_result(Cli& cli, const BareRequest& request, const std::vector<std::string>& trace, u64 r0) {
  std::string memory;
  for (const std::byte byte : request.memory) memory += fmt::format("{:02x}", static_cast<unsigned>(byte));
  if (cli.json_output()) {
    cli.json().begin_object();
    cli.json().field("r0", std::string_view(fmt::format("{:#x}", r0)));
    if (request.has_memory) cli.json().field("mem", std::string_view(memory));
    if (!trace.empty()) {
      cli.json().name("trace");
      cli.json().begin_array();
      for (const std::string& line : trace) cli.json().string(line);
      cli.json().end_array();
    }
    cli.json().end_object();
    return;
  }
  for (const std::string& line : trace) cli.print("trace: {}\n", line);
  cli.print("r0: {:#x}\n", r0);
  if (request.has_memory) cli.print("mem: {}\n", memory);
}

}  // namespace

Outcome<void> run_bare(Cli& cli, Args args) {
  BareRequest request = TRY(take_bare_request(args));
  const std::vector<isa::Insn> insns = TRY(read_bare_insns(request.file));
  embed::Session::Options options;
  options.jit = request.jit;
  options.report_faults = true;
  std::vector<std::string> trace;
  options.trace = [&](std::string_view text, const RunContext&) { trace.emplace_back(text); };
  const auto session = embed::Session::create(std::move(options));
  if (!session) return refuse(session.error().what);
  runtime::UserKernel& kernel = (*session)->kernel();
  Log log;
  const auto code = request.verified ? runtime::BareCode::verified(kernel, insns, &log)
                                     : runtime::BareCode::trusted(insns, request.type, request.jit);
  if (!code) {
    if (!log.text.empty()) cli.libbpf(log.text);
    return refuse(fmt::format("{}: {}", request.file, code.error().what));
  }
  RunContext context = kernel.run_context(0);
  const rcu::Reader reader;
  const auto r0 = code->run(request.memory, context);
  if (!r0) return refuse(fmt::format("{}: {}", request.file, r0.error().what));
  print_result(cli, request, trace, *r0);
  return {};
}

}  // namespace skep::cli
