// What every verb is given besides its words: options, output, and the Kernel, which is made when it is first
// asked for, so that `skep help` starts no daemon. Relies on kernel/kernel.hpp and nothing below it.
#pragma once
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <string>

#include "cli/args.hpp"
#include "cli/json_writer.hpp"
#include "cli/options.hpp"
#include "cli/outcome.hpp"
#include "cli/sink.hpp"
#include "kernel/kernel.hpp"

namespace skep::cli {

struct Noun;

/// Makes the Kernel that the options ask for.
using KernelFactory = std::function<Result<std::shared_ptr<Kernel>>(const Options&)>;

/// What a run of the command line works with.
struct Surroundings {
  Sink& out;
  Sink& err;
  KernelFactory make_kernel;
};

class Cli {
 public:
  Cli(Surroundings& around, const Options& options, std::string program);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] bool json_output() const { return options_.json; }
  /// "bpftool" or "skep": the name by which we were called.
  [[nodiscard]] const std::string& program() const { return program_; }
  [[nodiscard]] JsonWriter& json() { return json_; }
  [[nodiscard]] Sink& out() { return around_.out; }
  [[nodiscard]] Sink& err() { return around_.err; }

  /// The Kernel; the first call makes it.
  Outcome<Kernel*> kernel();

  template <class... A>
  void print(fmt::format_string<A...> format, A&&... values) {
    around_.out.write(fmt::format(format, std::forward<A>(values)...));
  }
  /// A line on stderr, unless the output is JSON.
  void info(std::string_view line);
  /// A line on stderr, also with JSON: what libbpf would have said.
  void libbpf(std::string_view line);
  /// A line on stderr with -d.
  void debug(std::string_view line);
  /// Prints a Failure in the form of the output: the message, the detail with -d. Usage is the dispatcher's.
  void report(const Failure& failure);
  /// The `null` that a verb without output leaves in JSON.
  void nothing_to_show() {
    if (options_.json) json_.null();
  }

 private:
  Surroundings& around_;
  Options options_;
  std::string program_;
  JsonWriter json_;
  std::shared_ptr<Kernel> kernel_;
};

}  // namespace skep::cli
