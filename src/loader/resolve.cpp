// Externs against the kernel's configuration, BTF and symbols. A strong one that nobody has is refused by its
// name; a weak one is 0.
#include <fmt/format.h>

#include <charconv>

#include "loader/core.hpp"
#include "loader/loading.hpp"

namespace skep::loader {

namespace {

bool in_range(const Extern& ext, u64 value) {
  u32 bits = ext.size * 8;
  if (bits >= 64) return true;
  // Signed: all upper bits equal the sign bit; unsigned: all are 0.
  if (ext.is_signed) return value + (u64{1} << (bits - 1)) < (u64{1} << bits);
  return (value >> bits) == 0;
}

std::unexpected<Error> unsuitable(const Extern& ext, std::string_view value) {
  return fail(EINVAL, fmt::format("extern (kcfg) '{}': value '{}' does not fit its type", ext.name, value));
}

Result<void> set_number(const Extern& ext, u64 value, MutBytes at) {
  const bool numeric = ext.config_type == KconfigType::integer || ext.config_type == KconfigType::character ||
                       ext.config_type == KconfigType::boolean;
  if (!numeric)
    return fail(EINVAL, fmt::format("extern (kcfg) '{}': value '{}' implies integer, char or boolean type",
                                    ext.name, value));
  if (!in_range(ext, value))
    return fail(ERANGE, fmt::format("extern (kcfg) '{}': value '{}' doesn't fit in {} bytes", ext.name, value,
                                    ext.size));
  std::memcpy(at.data(), &value, std::min<std::size_t>(ext.size, sizeof value));
  return {};
}

/// y, m or n.
Result<void> set_choice(const Extern& ext, char value, MutBytes at) {
  switch (ext.config_type) {
    case KconfigType::boolean:
      if (value == 'm') return unsuitable(ext, "m");
      at[0] = std::byte{value == 'y'};
      return {};
    case KconfigType::tristate: {
      u64 number = value == 'y' ? 1U : value == 'm' ? 2U : 0U;  // enum libbpf_tristate
      std::memcpy(at.data(), &number, std::min<std::size_t>(ext.size, sizeof number));
      return {};
    }
    case KconfigType::character:
      at[0] = static_cast<std::byte>(value);
      return {};
    default:
      return unsuitable(ext, std::string_view(&value, 1));
  }
}

Result<void> set_text(const Extern& ext, std::string_view value, MutBytes at) {
  if (ext.config_type != KconfigType::char_array) return unsuitable(ext, value);
  if (value.size() < 2 || !value.ends_with('"')) return unsuitable(ext, value);
  value = value.substr(1, value.size() - 2).substr(0, ext.size - 1);  // cut to fit, as libbpf does
  std::memset(at.data(), 0, at.size());
  std::copy_n(bytes_of(value).begin(), value.size(), at.begin());
  return {};
}

Result<void> set_config(const Extern& ext, std::string_view value, MutBytes at) {
  if (value == "y" || value == "m" || value == "n") return set_choice(ext, value[0], at);
  if (value.starts_with('"')) return set_text(ext, value, at);
  bool negative = value.starts_with('-'), hex = value.starts_with("0x") || value.starts_with("0X");
  std::string_view digits = value.substr(negative ? 1 : hex ? 2 : 0);
  u64 number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, hex ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty())
    return unsuitable(ext, value);
  return set_number(ext, negative ? 0 - number : number, at);
}

}  // namespace

Result<void> Loading::resolve_virtual_kconfig(const Extern& ext, ExternValue& value) {
  u64 number = 0;
  if (ext.name == "LINUX_KERNEL_VERSION") {
    number = environment_->kernel_version;
    if (number == 0)
      return failed(EINVAL, fmt::format("extern (kcfg) '{}': failed to get kernel version", ext.name));
  } else if (ext.name == "LINUX_HAS_BPF_COOKIE") {
    number = 1;  // every kernel that this loader is for
  } else if (ext.name == "LINUX_HAS_SYSCALL_WRAPPER") {
    number = environment_->syscall_wrapper ? 1 : 0;
  } else if (!ext.name.starts_with("LINUX_") || !ext.weak) {
    return failed(EINVAL, fmt::format("extern (kcfg) '{}': unrecognized virtual extern", ext.name));
  }
  if (Result<void> set = set_number(ext, number, MutBytes(kconfig_).subspan(ext.offset, ext.size)); !set)
    return failed(set.error().code, set.error().what);
  value.found = true;
  say(Level::debug, fmt::format("extern (kcfg) '{}': set to {:#x}", ext.name, number));
  return {};
}

Result<void> Loading::resolve_typed_ksym(const Extern& ext, ExternValue& value) {
  bool function = ext.kind == ExternKind::ksym_func;
  const btf::Btf* kernel_btf = environment_->kernel_btf;
  std::string_view name = ext.name;
  name = name.substr(0, name.find("___"));  // flavours of one function
  u32 id = kernel_btf == nullptr ? 0
                                 : kernel_btf->find(function ? btf::Kind::func : btf::Kind::var,
                                                    function ? name : std::string_view(ext.name));
  if (id == 0) {
    if (ext.weak) return {};
    return failed(ESRCH, fmt::format("extern ({} ksym) '{}': not found in kernel BTF",
                                     function ? "func" : "var", ext.name));
  }
  u32 target = kernel_btf->type(id).type;
  if (!function) target = kernel_btf->skip_modifiers(target);
  if (!TRY(types_are_compatible(*spec_.btf, ext.type_id, *kernel_btf, target))) {
    if (function && ext.weak) return {};
    return failed(EINVAL,
                  fmt::format("extern ({} ksym) '{}': type [{}] is incompatible with the kernel's [{}]",
                              function ? "func" : "var", ext.name, ext.type_id, target));
  }
  value.found = true;
  value.btf_id = id;
  say(Level::debug, fmt::format("extern (ksym) '{}': resolved to [{}]", ext.name, id));
  return {};
}

/// A symbol's address for every typeless ksym of that name.
Result<void> Loading::take_address(std::string_view name, u64 address) {
  for (std::size_t i = 0; i < externs_.size(); ++i) {
    const Extern& ext = spec_.externs[i];
    if (ext.kind != ExternKind::ksym_var || ext.type_id != 0 || ext.name != name) continue;
    if (externs_[i].found && externs_[i].address != address)
      return failed(EINVAL, fmt::format("extern (ksym) '{}': resolution is ambiguous: {:#x} or {:#x}",
                                        ext.name, externs_[i].address, address));
    externs_[i].found = true;
    externs_[i].address = address;
  }
  return {};
}

/// Typeless ksyms from the kernel's symbol table.
Result<void> Loading::resolve_addresses() {
  std::string_view lines = environment_->kallsyms ? environment_->kallsyms() : std::string_view();
  if (!lines.empty()) {
    while (
        !lines.empty()) {  // "ffffffff81000000 T _text\t[module]"; addresses are 0 for who may not see them
      const std::string_view line = lines.substr(0, lines.find('\n'));
      lines.remove_prefix(std::min(lines.size(), line.size() + 1));
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos || space + 3 > line.size()) continue;
      u64 address = 0;
      std::from_chars(line.data(), line.data() + space, address, 16);
      TRY(take_address(line.substr(space + 3, line.find_first_of(" \t", space + 3) - space - 3), address));
    }
    return {};
  }
  Result<SymbolTable> table = kernel_.symbols();
  if (!table) {
    say(Level::debug, fmt::format("no kernel symbols: {}", table.error().what));
    return {};
  }
  for (const Symbol& symbol : table->symbols) TRY(take_address(symbol.name, symbol.address));
  return {};
}

Result<void> Loading::resolve_externs() {
  externs_.resize(spec_.externs.size());
  if (spec_.kconfig_map) kconfig_ = spec_.maps[*spec_.kconfig_map].initial;
  bool addresses = false;
  std::vector<std::size_t> config;
  for (std::size_t i = 0; i < externs_.size(); ++i) {
    const Extern& ext = spec_.externs[i];
    if (ext.kind == ExternKind::kconfig && ext.name.starts_with("CONFIG_"))
      config.push_back(i);
    else if (ext.kind == ExternKind::kconfig)
      TRY(resolve_virtual_kconfig(ext, externs_[i]));
    else if (ext.type_id != 0)
      TRY(resolve_typed_ksym(ext, externs_[i]));
    else
      addresses = true;
  }
  for (std::size_t i : config) {
    const Extern& ext = spec_.externs[i];
    if (!environment_->kconfig) break;
    std::string key = "\n" + ext.name + "=";
    std::string_view text = *environment_->kconfig;
    std::size_t at = text.starts_with(std::string_view(key).substr(1)) ? 0 : text.find(key);
    if (at == std::string_view::npos) continue;
    std::string_view value = text.substr(at == 0 ? key.size() - 1 : at + key.size());
    value = value.substr(0, value.find('\n'));
    if (Result<void> set = set_config(ext, value, MutBytes(kconfig_).subspan(ext.offset, ext.size)); !set)
      return failed(set.error().code, set.error().what);
    externs_[i].found = true;
    say(Level::debug, fmt::format("extern (kcfg) '{}': set to {}", ext.name, value));
  }
  if (addresses) TRY(resolve_addresses());
  for (std::size_t i = 0; i < externs_.size(); ++i) {
    if (externs_[i].found) continue;
    if (!spec_.externs[i].weak)
      return failed(ESRCH, fmt::format("extern '{}' (strong): not resolved", spec_.externs[i].name));
    say(Level::debug,
        fmt::format("extern '{}' (weak): not resolved, defaulting to zero", spec_.externs[i].name));
  }
  return {};
}

}  // namespace skep::loader
