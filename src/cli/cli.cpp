// The Cli: output in two forms, and the Kernel made on first use.
#include "cli/cli.hpp"

namespace skep::cli {

Cli::Cli(Surroundings& around, const Options& options, std::string program)
    : around_(around), options_(options), program_(std::move(program)), json_(around.out, options.pretty) {}

Outcome<Kernel*> Cli::kernel() {
  if (!kernel_) {
    auto made = around_.make_kernel(options_);
    if (!made) {
      const Error& error = made.error();
      return refuse(error.what.empty() ? errno_text(error.code) : error.what);
    }
    kernel_ = std::move(*made);
  }
  return kernel_.get();
}

void Cli::info(std::string_view line) {
  if (options_.json) return;
  libbpf(line);
}

void Cli::libbpf(std::string_view line) {
  around_.out.flush();
  around_.err.write(fmt::format("{}\n", line));
}

void Cli::debug(std::string_view line) {
  if (options_.debug) libbpf(line);
}

void Cli::report(const Failure& failure) {
  if (!failure.detail.empty()) debug(failure.detail);
  if (failure.message.empty()) return;
  if (!options_.json) {
    libbpf(fmt::format("Error: {}", failure.message));
    return;
  }
  json_.begin_object();
  json_.field("error", std::string_view(failure.message));
  json_.end_object();
}

}  // namespace skep::cli
