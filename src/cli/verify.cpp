// `skep verify`: the words, and one line or one JSON object a program.
#include "cli/bare_words.hpp"
#include "cli/explain.hpp"
#include "cli/objects.hpp"
#include "cli/tables.hpp"
#include "cli/verify_work.hpp"

namespace skep::cli {
namespace {

Outcome<VerifyRequest> take_request(Args& args) {
  VerifyRequest request;
  while (!args.empty()) {
    const std::string word = TRY(args.take());
    const auto value = [&]() -> Outcome<std::string> {
      TRY(args.require(1));
      return args.take();
    };
    if (word == "--program") {
      request.program = TRY(value());
    } else if (word == "--log-level") {
      request.log_level = TRY(parse_u32(TRY(value()), "log level"));
      request.show_log = true;
    } else if (word == "--threads") {
      request.threads = TRY(parse_u32(TRY(value()), "threads"));
    } else if (word == "--against") {
      if (TRY(value()) != "linux") return refuse("--against takes linux");
      request.against_linux = true;
    } else if (word == "--btf") {
      request.btf_file = TRY(value());
    } else if (word == "--target") {
      request.target_file = TRY(value());
    } else if (word == "--target-program") {
      request.target_program = TRY(value());
    } else if (word == "--explain") {
      request.explain = true;
    } else if (word == "--raw") {
      TRY(args.require(2));
      request.raw_type = TRY(parse_prog_type(TRY(args.take())));
      request.raw_file = TRY(args.take());
    } else if (word.starts_with("-")) {
      return refuse(fmt::format("'{}' is not an option of verify", word));
    } else {
      request.objects.push_back(word);
    }
  }
  if (request.objects.empty() == request.raw_file.empty()) return wrong_usage();
  if (request.explain) request.log_level |= 1;  // the path to the refusal
  if (request.log_level > 15) return refuse("the log level is a number from 0 to 15");
  return request;
}

void json_fields(JsonWriter& json, const Verdict& verdict) {
  json.field("verdict", verdict.code == 0 ? "accept" : "reject");
  json.field("errno", static_cast<u64>(verdict.code));
  if (!verdict.judged) json.field("stage", "before the verifier");
  if (verdict.tag) json.field("tag", std::string_view(tag_text(*verdict.tag)));
  json.field("processed", verdict.processed);
  json.field("time_us", verdict.nanoseconds / 1000);
  if (verdict.memory != 0) json.field("memory", verdict.memory);
  json.field("message", std::string_view(verdict.message));
  json.field("log", std::string_view(verdict.log));
}

void print_json(JsonWriter& json, const ProgramVerdict& program, const std::string& why) {
  json.begin_object();
  json.field("object", std::string_view(program.object));
  json.field("section", std::string_view(program.section));
  json.field("program", std::string_view(program.program));
  json.field("type", prog_type_name(program.type));
  json.field("insns", static_cast<u64>(program.insns));
  json_fields(json, program.skep);
  if (program.linux_) {
    json.name("linux");
    json.begin_object();
    json_fields(json, *program.linux_);
    json.end_object();
    json.name("differs");
    json.begin_array();
    for (const std::string_view what : differences(program.skep, *program.linux_)) json.string(what);
    json.end_array();
  }
  if (!why.empty()) json.field("explanation", std::string_view(why));
  json.end_object();
}

std::string verdict_text(const Verdict& verdict) {
  if (verdict.code == 0)
    return fmt::format("accept, {} processed, {} us", verdict.processed, verdict.nanoseconds / 1000);
  return fmt::format("reject, errno {}, {} processed, {} us: {}{}", verdict.code, verdict.processed,
                     verdict.nanoseconds / 1000, verdict.judged ? "" : "(not verified) ", verdict.message);
}

void print_text(Cli& cli, const ProgramVerdict& program, const VerifyRequest& request,
                const std::string& why) {
  std::string name = program.object;
  if (!program.program.empty())
    name += fmt::format(" {} {} ({}, {} insns)", program.section, program.program,
                        prog_type_name(program.type), program.insns);
  cli.print("{}: {}\n", name, verdict_text(program.skep));
  if (request.show_log) cli.print("{}", program.skep.log);
  if (program.linux_) {
    const auto differs = differences(program.skep, *program.linux_);
    if (!differs.empty()) cli.print("  linux: {}\n", verdict_text(*program.linux_));
    for (const std::string_view what : differs) cli.print("  differs: {}\n", what);
  }
  cli.print("{}", why);
}

}  // namespace

Outcome<void> run_verify(Cli& cli, Args args) {
  const VerifyRequest request = TRY(take_request(args));
  u64 rejected = 0, verdicts_differ = 0;
  if (cli.json_output()) cli.json().begin_array();
  auto outcome = verify_all(request, [&](const ProgramVerdict& program) {
    const std::string why =
        request.explain && program.skep.code != 0 ? explain(program.skep.log, program.skep.message) : "";
    if (program.skep.code != 0) ++rejected;
    if (program.linux_ && (program.skep.code == 0) != (program.linux_->code == 0)) ++verdicts_differ;
    if (cli.json_output())
      print_json(cli.json(), program, why);
    else
      print_text(cli, program, request, why);
  });
  TRY(std::move(outcome));
  if (cli.json_output()) cli.json().end_array();
  // With --against linux a refusal that both agree on is no failure.
  if (request.against_linux ? verdicts_differ != 0 : rejected != 0)
    return std::unexpected<Failure>(Failure{kExitFailure, {}, false, {}});
  return {};
}

}  // namespace skep::cli
