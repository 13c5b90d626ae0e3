#include "kernel/kernel.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace skep {

Kernel::~Kernel() = default;

Result<u32> Kernel::tap_add(const std::string& name) {
  return fail(EOPNOTSUPP, name + ": this kernel makes no interfaces of its own; see ip-tuntap(8)");
}
Result<void> Kernel::tap_delete(const std::string& name) {
  return fail(EOPNOTSUPP, name + ": this kernel makes no interfaces of its own; see ip-tuntap(8)");
}

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    reset();
    kernel_ = std::exchange(other.kernel_, nullptr);
    fd_ = std::exchange(other.fd_, -1);
    kind_ = other.kind_;
  }
  return *this;
}

void Handle::reset() {
  if (kernel_ != nullptr && fd_ >= 0) kernel_->close(kind_, fd_);
  kernel_ = nullptr;
  fd_ = -1;
}

Result<void> Kernel::prog_attach(const ProgAttach&) {
  return fail(EOPNOTSUPP, "BPF_PROG_ATTACH is not supported by this kernel");
}
Result<void> Kernel::prog_detach(const ProgAttach&) {
  return fail(EOPNOTSUPP, "BPF_PROG_DETACH is not supported by this kernel");
}

Result<std::vector<u32>> Kernel::helpers(ProgType) {
  return fail(EOPNOTSUPP, "this kernel does not say which helpers it has");
}

std::string_view object_kind_name(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::prog:
      return "prog";
    case ObjectKind::map:
      return "map";
    case ObjectKind::btf:
      return "btf";
    case ObjectKind::link:
      return "link";
  }
  return {};
}

std::optional<ValueDescriptor> descriptor_in_value(MapType type, u32 value_size) {
  switch (type) {
    case MapType::prog_array:
      return ValueDescriptor{ObjectKind::prog, 0, false};
    case MapType::array_of_maps:
    case MapType::hash_of_maps:
      return ValueDescriptor{ObjectKind::map, 0, false};
    case MapType::devmap:
    case MapType::devmap_hash:
    case MapType::cpumap:  // struct bpf_devmap_val, struct bpf_cpumap_val
      if (value_size < 8) return std::nullopt;
      return ValueDescriptor{ObjectKind::prog, 4, true};
    default:
      return std::nullopt;
  }
}

Result<EventRing> Kernel::map_events(int, const EventSpec&) {
  return fail(EOPNOTSUPP, fmt::format("kernel '{}' has no perf events", kernel_name()));
}

}  // namespace skep
