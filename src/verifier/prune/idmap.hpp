// Which id of an old state stands for which id of the current one while two states are compared: a bijection
// built as the comparison goes (kernel: struct bpf_idmap, check_ids(), check_scalar_ids()).
#pragma once
#include <vector>

#include "base/types.hpp"

namespace skep::verifier {

/// How strictly states are compared: `not_exact` ignores imprecise scalars, `range_within` wants all ranges
/// inside the old ones, `exact` wants them equal (loop detection).
enum class Exactness : u8 { not_exact, range_within, exact };

class IdMap {
 public:
  void reset(u32 first_free_id) {
    count_ = 0;
    next_ = first_free_id;
  }
  bool check(u32 old_id, u32 cur_id) {
    if ((old_id | cur_id) == 0) return true;
    return old_id != 0 && cur_id != 0 && check_pair(old_id, cur_id);
  }
  /// An old scalar that was linked to nothing accepts any id; a current one without an id counts as having
  /// one of its own. `distance_flags`: bits that say "at a distance"; ids must agree with and without them.
  bool check_scalar(u32 old_id, u32 cur_id, u32 distance_flags) {
    if (old_id == 0) return true;
    if (cur_id == 0) cur_id = ++next_;
    if (!check(old_id, cur_id)) return false;
    return (old_id & distance_flags) == 0 || check(old_id & ~distance_flags, cur_id & ~distance_flags);
  }

 private:
  struct Pair {
    u32 old_id, cur_id;
  };
  bool check_pair(u32 old_id, u32 cur_id) {
    for (std::size_t i = 0; i < count_; ++i) {
      const Pair& p = pairs_[i];
      if (p.old_id == old_id) return p.cur_id == cur_id;
      if (p.cur_id == cur_id) return false;
    }
    if (count_ == pairs_.size()) pairs_.resize(pairs_.size() * 2);
    pairs_[count_++] = {old_id, cur_id};
    return true;
  }
  std::vector<Pair> pairs_ = std::vector<Pair>(64);  ///< the first count_ count
  std::size_t count_ = 0;
  u32 next_ = 0;
};

}  // namespace skep::verifier
