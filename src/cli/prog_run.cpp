// `prog run`: BPF_PROG_TEST_RUN with data and context from files.
#include <cerrno>
#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/prog_view.hpp"

namespace skep::cli {

namespace {

constexpr u32 kDefaultOutput = 32 * 1024;
constexpr std::size_t kInputLimit = 64u << 20;

struct RunRequest {
  std::string data_in, data_out, ctx_in, ctx_out;
  TestRunSpec spec;
};

Outcome<void> take_run_options(Args& args, RunRequest& request) {
  while (!args.empty()) {
    TRY(refuse_ambiguous(args.peek(), {"data_in", "data_out", "data_size_out"}));
    TRY(refuse_ambiguous(args.peek(), {"ctx_in", "ctx_out", "ctx_size_out"}));
    const auto value = [&args]() -> Outcome<std::string> {
      args.skip();
      TRY(args.require(1));
      return args.take();
    };
    if (args.next_is("data_in")) {
      request.data_in = TRY(value());
    } else if (args.next_is("data_out")) {
      request.data_out = TRY(value());
    } else if (args.next_is("data_size_out")) {
      request.spec.data_out_size = TRY(parse_u32(TRY(value()), "output data size"));
    } else if (args.next_is("ctx_in")) {
      request.ctx_in = TRY(value());
    } else if (args.next_is("ctx_out")) {
      request.ctx_out = TRY(value());
    } else if (args.next_is("ctx_size_out")) {
      request.spec.ctx_out_size = TRY(parse_u32(TRY(value()), "output context size"));
    } else if (args.next_is("repeat")) {
      request.spec.repeat = TRY(parse_u32(TRY(value()), "repeat number"));
    } else {
      return refuse(fmt::format(
          "expected no more arguments, 'data_in', 'data_out', 'data_size_out', 'ctx_in', 'ctx_out', "
          "'ctx_size_out' or 'repeat', got: '{}'?",
          args.peek()));
    }
    if (request.data_in == "-" && request.ctx_in == "-")
      return refuse("cannot use standard input for both data_in and ctx_in");
  }
  return {};
}

Outcome<std::vector<std::byte>> read_input(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    auto read = read_file(path, kInputLimit);
    if (!read) return refuse(fmt::format("failed to open {}: {}", path, errno_text(read.error().code)));
    text = std::move(*read);
  }
  const ByteView bytes = bytes_of(std::string_view(text));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

/// Rows of sixteen bytes: offset, pairs of bytes, characters.
std::string hex_rows(ByteView bytes) {
  std::string text;
  for (std::size_t row = 0; row < bytes.size(); row += 16) {
    text += fmt::format("{:07x}\t", row);
    std::string characters;
    for (std::size_t i = row; i < row + 16; ++i) {
      const std::string_view gap = i % 2 != 0 ? " " : "";
      if (i >= bytes.size()) {
        text += fmt::format("  {}", gap);
        continue;
      }
      const auto byte = std::to_integer<unsigned>(bytes[i]);
      text += fmt::format("{:02x}{}", byte, gap);
      characters += byte < ' ' || byte > '~' ? '.' : static_cast<char>(byte);
      if (i == row + 7) characters += ' ';
    }
    text += fmt::format("| {}\n", characters);
  }
  return text;
}

/// Output data or context where the user wants it; the first failure is kept, as the verdict is shown all the
/// same.
void show_output(Cli& cli, const std::string& path, std::string_view key, ByteView bytes,
                 Outcome<void>& outcome) {
  if (path.empty() || bytes.empty()) return;
  if (path == "-") {
    if (!cli.json_output()) {
      cli.out().write(hex_rows(bytes));
      return;
    }
    cli.json().name(key);
    cli.json().begin_array();
    for (const std::byte byte : bytes) cli.json().number(std::to_integer<unsigned>(byte));
    cli.json().end_array();
    return;
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) {
    outcome = refuse(fmt::format("failed to open {}: {}", path, errno_text(errno)));
    return;
  }
  const std::string_view text = chars_of(bytes);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) outcome = refuse("failed to write output data/ctx: " + errno_text(errno));
}

}  // namespace

Outcome<void> prog_run(Cli& cli, Args args) {
  TRY(args.require(4));
  const ProgramRef program = TRY(take_program(cli, args));
  RunRequest request;
  request.spec.repeat = 1;
  TRY(take_run_options(args, request));
  if (!request.data_in.empty()) {
    request.spec.data_in = TRY(read_input(request.data_in));
    if (request.spec.data_out_size == 0) request.spec.data_out_size = kDefaultOutput;
  }
  if (!request.ctx_in.empty()) {
    request.spec.ctx_in = TRY(read_input(request.ctx_in));
    if (request.spec.ctx_out_size == 0) request.spec.ctx_out_size = kDefaultOutput;
  }
  const auto result = TRY(cli.kernel())->prog_test_run(program.handle.fd(), request.spec);
  if (!result) return kernel_refused_errno("failed to run program", result.error());

  Outcome<void> outcome;
  if (cli.json_output()) cli.json().begin_object();
  show_output(cli, request.data_out, "data_out", result->data_out, outcome);
  show_output(cli, request.ctx_out, "ctx_out", result->ctx_out, outcome);
  if (cli.json_output()) {
    cli.json().field("retval", result->retval);
    cli.json().field("duration", result->duration);
    cli.json().end_object();
  } else {
    cli.print("Return value: {}, duration{}: {}ns\n", result->retval,
              request.spec.repeat > 1 ? " (average)" : "", result->duration);
  }
  return outcome;
}

}  // namespace skep::cli
