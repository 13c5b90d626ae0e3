// Who has tcx programs on which side of which interface (kernel/bpf/tcx.c): a Chain for each. Not
// thread-safe: UserKernel's lock guards it.
#pragma once
#include "runtime/chain.hpp"
#include "runtime/interface_table.hpp"

namespace skep::runtime {

class TcTable final : public LinkOwner {
 public:
  explicit TcTable(InterfaceTable& interfaces) : interfaces_(interfaces) {}

  /// BPF_PROG_ATTACH to an interface of the calling thread's network namespace. ENODEV: there is none.
  Result<void> attach(u32 ifindex, AttachType type, const std::shared_ptr<Program>& program,
                      const Program* replaced, const ChainPlace& where);
  /// BPF_PROG_DETACH; `program` may be null. ENOENT: nothing is attached.
  Result<void> detach(u32 ifindex, AttachType type, const Program* program, const ChainPlace& where);
  /// BPF_LINK_CREATE: link->program at link->ifindex, as link->attach_type says.
  Result<void> attach_link(Link& link, const ChainPlace& where);
  Result<void> update_link(Link& link, const std::shared_ptr<Program>& program);
  void link_gone(Link& link) noexcept override;

  /// BPF_PROG_QUERY. ENODEV: there is no such interface.
  [[nodiscard]] Result<ProgQueryResult> query(u32 ifindex, AttachType type) const;
  /// All of the calling thread's network namespace.
  [[nodiscard]] std::vector<TcAttachment> list() const;
  void detach_all();
  void detach_all_at(Place place);
  /// Forgets interfaces that were deleted underneath.
  void sweep();

 private:
  struct Key {
    Place place;
    hooks::TcDirection direction = hooks::TcDirection::ingress;
    auto operator<=>(const Key&) const = default;
  };
  static Key key(Place place, AttachType type);
  /// Makes `changed` the chain of the hook, or leaves all as it was.
  Result<void> commit(const Key& key, Chain changed);
  void forget(const Key& key);

  InterfaceTable& interfaces_;
  std::map<Key, Chain> chains_;  ///< none is empty
};

}  // namespace skep::runtime
