// Following types from one to the next, as the kernel does when BTF is loaded: what a type refers to must
// exist, be of a fitting kind, and the chain must end (kernel/bpf/btf.c, the *_resolve functions).
#pragma once
#include "btf/btf.hpp"

namespace skep::btf {

class Resolver {
 public:
  explicit Resolver(const Btf& btf) : btf_(btf) {
    done_[0].resize(btf.type_count() + 1);
    done_[1].resize(btf.type_count() + 1);
  }
  /// The rules for one type. EINVAL, EEXIST "Loop detected", E2BIG "Exceeded max resolving depth".
  Result<void> check(u32 id);

 private:
  /// Two kinds of chain must end: pointers and modifiers, and what contains what by value.
  enum class Chain : u8 { pointers = 0, containment = 1 };
  Result<void> ends(u32 id, Chain chain);
  [[nodiscard]] u32 next(u32 id, Chain chain, u32 index, bool& more) const;
  [[nodiscard]] const char* reference(const Type& t) const;
  [[nodiscard]] const char* array(const Type& t) const;
  [[nodiscard]] const char* members(const Type& t) const;
  [[nodiscard]] const char* member(const Type& owner, const Entry& m) const;
  [[nodiscard]] const char* variables(const Type& t) const;
  [[nodiscard]] const char* decl_tag(const Type& t) const;
  [[nodiscard]] const char* func_proto(const Type& t) const;
  [[nodiscard]] const char* func(const Type& t) const;
  [[nodiscard]] bool has_size(u32 id) const { return btf_.size_of(id).has_value(); }
  [[nodiscard]] bool regular_int(const Type& t) const;

  const Btf& btf_;
  enum class Mark : u8 { unseen, open, done };
  std::vector<Mark> done_[2];  // by Chain
};

}  // namespace skep::btf
