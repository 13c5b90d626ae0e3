// The section names libbpf 1.7 knows, and what each makes of a program.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernel/uapi.hpp"

namespace skep::loader {

/// One row of libbpf's section table.
struct SectionType {
  std::string_view name;  ///< with a trailing '+': also NAME/whatever
  ProgType type = ProgType::unspec;
  AttachType attach{};
  u32 prog_flags = 0;       ///< BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS
  bool attach_btf = false;  ///< what follows the '/' names a BTF function or type to attach to
};

/// Every row, in libbpf's order, which is also the order of matching.
[[nodiscard]] std::span<const SectionType> section_types();
/// The row that a section name (without leading '?') matches, or nullptr. Also serves `type NAME` of prog
/// load, which bpftool looks up as NAME and then as "NAME/".
[[nodiscard]] const SectionType* find_section_type(std::string_view section);
/// " socket sk_reuseport/migrate ...": what libbpf prints after "supported section(type) names are:".
[[nodiscard]] std::string supported_section_names();

}  // namespace skep::loader
