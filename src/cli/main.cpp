// The program `skep` (and `bpftool`, called by that name): the command line, with the kernels it may talk to.
#include <unistd.h>

#include <csignal>

#include "cli/kernels.hpp"
#include "cli/run.hpp"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of the write
  skep::cli::FdSink out(STDOUT_FILENO);
  skep::cli::FdSink err(STDERR_FILENO);
  skep::cli::Surroundings around{out, err, skep::cli::make_kernel};
  return skep::cli::run({argv, argv + argc}, around);
}
