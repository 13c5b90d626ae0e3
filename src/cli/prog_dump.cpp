// `prog dump xlated|jited`: a program's instructions after the verifier, or its machine code.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/jited_view.hpp"
#include "cli/prog_view.hpp"
#include "cli/xlated_view.hpp"

namespace skep::cli {

namespace {

struct DumpRequest {
  bool jited = false;
  std::string file;
  XlatedOptions options;
  bool visual = false;
};

Outcome<void> take_dump_options(Args& args, std::size_t matches, DumpRequest& request) {
  while (!args.empty()) {
    if (args.take_if("file")) {
      if (args.empty()) return refuse("expected file path");
      if (matches > 1) return refuse("several programs matched");
      request.file = args.peek();
      args.skip();
    } else if (args.take_if("opcodes")) {
      request.options.opcodes = true;
    } else if (args.take_if("visual")) {
      if (matches > 1) return refuse("several programs matched");
      request.visual = true;
    } else if (args.take_if("linum")) {
      request.options.linum = true;
    } else {
      return wrong_usage();
    }
  }
  return {};
}

Outcome<void> write_file(const std::string& path, ByteView bytes) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return refuse(fmt::format("can't open file {}: {}", path, errno_text(errno)));
  const ssize_t n = write(fd.get(), bytes.data(), bytes.size());
  if (n != static_cast<ssize_t>(bytes.size()))
    return refuse(fmt::format("error writing output file: {}", n < 0 ? errno_text(errno) : "short write"));
  return {};
}

Outcome<void> dump_one(Cli& cli, Kernel& kernel, const ProgramInfo& info, const DumpRequest& request) {
  if (request.jited && info.jited.empty()) {
    cli.info("no instructions returned");
    return refuse(cli.json_output() ? "no instructions returned" : "");
  }
  if (!request.jited && info.xlated.empty())
    return refuse("error retrieving insn dump: kernel.kptr_restrict set?");
  std::unique_ptr<LoadedBtf> loaded;
  if (info.btf_id != 0) {
    auto found = load_btf(kernel, info.btf_id);
    if (!found) return refuse("failed to get btf");
    loaded = std::move(*found);
  }
  const btf::Btf* types = loaded ? &loaded->btf : nullptr;
  if (!request.file.empty()) {
    TRY(write_file(request.file,
                   request.jited ? ByteView(info.jited) : std::as_bytes(std::span(info.xlated))));
    cli.nothing_to_show();
    return {};
  }
  const auto symbols = kernel.symbols();  // without them addresses are shown
  const SymbolTable no_symbols;
  const SymbolTable& table = symbols ? *symbols : no_symbols;
  if (request.jited) {
    const JitedView view = TRY(view_jited(info, types, table));
    if (cli.json_output()) {
      print_jited_json(cli.json(), view, request.options);
    } else {
      print_jited_plain(cli, view, request.options);
    }
    return {};
  }
  const XlatedView view = view_xlated(info, types, table);
  if (cli.json_output()) {
    print_xlated_json(cli.json(), view, request.options);
  } else if (request.visual) {
    print_xlated_graph(cli, view, request.options);
  } else {
    print_xlated_plain(cli, view, request.options);
  }
  return {};
}

}  // namespace

Outcome<void> prog_dump(Cli& cli, Args args) {
  if (args.empty()) return wrong_usage();
  DumpRequest request;
  if (args.take_if("jited")) {
    request.jited = true;
  } else if (!args.take_if("xlated")) {
    return refuse(fmt::format("expected 'xlated' or 'jited', got: {}", args.peek()));
  }
  if (args.left() < 2) return wrong_usage();
  const std::vector<ProgramRef> programs = TRY(take_programs(cli, args));
  const bool several = programs.size() > 1;
  TRY(take_dump_options(args, programs.size(), request));
  if (!request.file.empty() && (request.options.opcodes || request.options.linum || request.visual))
    return refuse("'file' is not compatible with 'opcodes', 'visual', or 'linum'");
  if (cli.json_output() && request.visual) return refuse("'visual' is not compatible with JSON output");

  Kernel& kernel = *TRY(cli.kernel());
  const bool as_list = cli.json_output() && several;
  if (as_list) cli.json().begin_array();
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const ProgramInfo& info = programs[i].info;
    if (as_list) {
      cli.json().begin_object();
      print_program_header(cli.json(), info, full_name(kernel, info));
      cli.json().name("insns");
    } else if (several) {
      print_program_header(cli, info, full_name(kernel, info));
    }
    TRY(dump_one(cli, kernel, info, request));
    if (as_list) {
      cli.json().end_object();
    } else if (several && i + 1 < programs.size()) {
      cli.print("\n");
    }
  }
  if (as_list) cli.json().end_array();
  return {};
}

}  // namespace skep::cli
