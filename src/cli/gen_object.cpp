// `gen object` and `gen min_core_btf`: files made from objects.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/limits.hpp"
#include "cli/gen.hpp"
#include "linker/linker.hpp"
#include "loader/loader.hpp"
#include "loader/minimal_btf.hpp"

namespace skep::cli {

namespace {

/// All of it, to a file that is made or replaced.
Result<void> write_whole(const std::string& path, ByteView bytes) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return fail(errno);
  while (!bytes.empty()) {
    const ssize_t n = write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Outcome<void> gen_object(Cli& cli, Args args) {
  TRY(args.require_or_usage(2));
  const std::string output = TRY(args.take());
  linker::Linker linker;
  while (!args.empty()) {
    const std::string path = TRY(args.take());
    cli.debug(fmt::format("libbpf: linker: adding object file '{}'...", path));
    const auto file = read_file(path, limits::max_object_bytes);
    const auto added = file ? linker.add(bytes_of(std::string_view(*file)), path)
                            : fail(file.error().code, fmt::format("failed to open file '{}': {}", path,
                                                                  errno_text(file.error().code)));
    if (added) continue;
    const Error& error = added.error();
    cli.libbpf("libbpf: " + error.what);
    return refuse(fmt::format("failed to link '{}': {} ({})", path, errno_text(error.code), error.code),
                  status_of_errno(error.code));
  }
  const auto linked = std::move(linker).finish();
  if (!linked) {
    cli.libbpf("libbpf: " + linked.error().what);
    return refuse(fmt::format("failed to finalize ELF file: {} ({})", errno_text(linked.error().code),
                              linked.error().code),
                  status_of_errno(linked.error().code));
  }
  // Nothing was written until now, so an input may be the output too, and a failure leaves no file.
  if (const auto written = write_whole(output, *linked); !written)
    return refuse(fmt::format("failed to create '{}': {}", output, errno_text(written.error().code)));
  cli.nothing_to_show();
  return {};
}

Outcome<void> gen_min_core_btf(Cli& cli, Args args) {
  TRY(args.require_or_usage(3));
  const std::string input = TRY(args.take()), output = TRY(args.take());
  const auto kernel = loader::read_btf_file(input);
  if (!kernel)
    return refuse(fmt::format("failed parsing '{}' BTF file: {}", input, errno_text(kernel.error().code)),
                  status_of_errno(kernel.error().code));
  loader::MinimalBtf minimal(*kernel);
  while (!args.empty()) {
    const std::string path = TRY(args.take());
    const auto added = minimal.add_object(path);
    if (added) continue;
    const std::string& what = added.error().what;
    return refuse(fmt::format("error recording relocations for {}: {}", path,
                              what.empty() ? errno_text(added.error().code) : what),
                  status_of_errno(added.error().code));
  }
  auto bytes = minimal.bytes();
  const auto written = bytes ? write_whole(output, *bytes) : fail(bytes.error().code, bytes.error().what);
  if (!written)
    return refuse(fmt::format("error saving btf file: {}", errno_text(written.error().code)),
                  status_of_errno(written.error().code));
  cli.nothing_to_show();
  return {};
}

}  // namespace skep::cli
