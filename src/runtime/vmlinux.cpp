// See vmlinux.hpp.
#include "runtime/vmlinux.hpp"

#include <unistd.h>

#include <mutex>
#include <unordered_set>

#include "base/fd.hpp"
#include "base/limits.hpp"
#include "btf/carried.hpp"

namespace skep::runtime {

namespace {

struct Symbols {
  std::once_flag once;
  std::string text;
  std::unordered_set<std::string_view> names;

  /// Lines are "ADDRESS TYPE NAME", and for modules "\t[MODULE]" after that.
  void read() {
    auto all = read_file("/proc/kallsyms");
    if (!all) return;
    text = *std::move(all);
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const auto name = line.find(' ', line.find(' ') + 1);
      if (name != line.npos && line.find('\t') == line.npos) names.insert(line.substr(name + 1));
    }
  }
};

}  // namespace

btf::KernelBtf::HasSymbol machine_symbols() {
  return [symbols = std::make_shared<Symbols>()](std::string_view name) {
    std::call_once(symbols->once, [&] {
      if (::access(machine_vmlinux, R_OK) == 0) symbols->read();
    });
    return symbols->names.empty() || symbols->names.contains(name);
  };
}

btf::KernelBtf::Source vmlinux_source(std::string path) {
  return [path = std::move(path)]() -> Result<std::vector<std::byte>> {
    const auto text = read_file(path.empty() ? machine_vmlinux : path, limits::btf_max_size);
    if (!text && path.empty()) return btf::carried_kernel_btf();
    if (!text) return std::unexpected(text.error());
    const ByteView bytes = bytes_of(*text);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
}

}  // namespace skep::runtime
