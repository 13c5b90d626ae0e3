// The part of a kernel's BTF that the CO-RE relocations of objects need (`gen min_core_btf`): enough for them
// to be resolved to the same values on a machine that has no BTF of its own.
#pragma once
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "btf/btf.hpp"
#include "loader/core.hpp"
#include "loader/core_spec.hpp"

namespace skep::loader {

class MinimalBtf {
 public:
  /// `kernel` must outlive this.
  explicit MinimalBtf(const btf::Btf& kernel) : kernel_(kernel), used_(kernel.type_count() + 1) {}

  /// What the relocations of an ELF object need. ENODATA: it has no BTF; EINVAL: it has no .BTF.ext or is
  /// damaged; or what a relocation fails with when it is applied.
  Result<void> add_object(const std::string& path);

  /// The bytes of a .BTF section: used types in the kernel's order, of structs and unions the used members
  /// alone, pointers to what is not used as pointers to void.
  [[nodiscard]] Result<std::vector<std::byte>> bytes() const;

 private:
  Result<void> add(CoreKind kind, const CoreSpec& found);
  Result<void> add_path(const CoreSpec& found);
  Result<void> use(u32 id, bool follow_pointers, u32 depth = 0);
  void use_all(u32 root);

  const btf::Btf& kernel_;
  std::vector<bool> used_;
  std::set<std::pair<u32, u32>> members_;  ///< type, index
  std::set<std::pair<u32, bool>> whole_;   ///< seen by use_all()
};

}  // namespace skep::loader
