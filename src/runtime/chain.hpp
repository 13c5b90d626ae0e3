// The programs of one tcx hook in their order, and the rules by which a request finds its place in it
// (bpf_mprog_attach() and bpf_mprog_detach(), kernel/bpf/mprog.c).
#pragma once
#include "runtime/objects.hpp"

namespace skep::runtime {

struct ChainEntry {
  std::shared_ptr<Program> program;
  Link* link = nullptr;  ///< null: attached without a link
};

/// Where: uapi::F_* flags, and what F_BEFORE and F_AFTER refer to (null: the whole chain's front and back).
struct ChainPlace {
  u32 flags = 0;
  std::shared_ptr<Program> relative;
  const Link* relative_link = nullptr;
  u64 revision = 0;  ///< 0: any
};

class Chain {
 public:
  static constexpr int max = 64;  ///< BPF_MPROG_MAX

  /// `replaced`: with F_REPLACE. ESTALE: another revision; EEXIST: it is in the chain already; ENOENT, EBUSY:
  /// what is to be replaced or referred to is not there, or belongs to a link; ERANGE: the flags contradict
  /// each other, or the chain is full; EINVAL: flags without a place.
  Result<void> attach(ChainEntry fresh, const Program* replaced, const ChainPlace& where);
  /// Without a program: the one at the place, which must not be a link's.
  Result<void> detach(const Program* program, const Link* link, const ChainPlace& where);

  [[nodiscard]] const std::vector<ChainEntry>& entries() const { return entries_; }
  [[nodiscard]] u64 revision() const { return revision_; }

 private:
  /// A position between -1 (before the first) and size (behind the last).
  using Position = std::optional<int>;
  [[nodiscard]] Result<int> find(const Program* program, const Link* link) const;
  Result<void> narrow(Position& position, const ChainPlace& where) const;

  std::vector<ChainEntry> entries_;
  u64 revision_ = 1;
};

}  // namespace skep::runtime
