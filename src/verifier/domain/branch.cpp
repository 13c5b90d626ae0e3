// Conditional jumps between two scalars: is the outcome certain, and what do both operands learn from either
// outcome (kernel: is_scalar_branch_taken(), regs_refine_cond_op(), reg_set_min_max()).
#include <bit>
#include <utility>

#include "verifier/domain/ranges.hpp"

namespace skep::verifier {
namespace {

using namespace isa::op;

/// The ranges of one operand, widened to 64 bits.
struct View {
  Tnum t;
  u64 umin, umax;
  s64 smin, smax;
};
View view(const Scalar& r, bool is32) {
  if (!is32) return {r.var_off, r.umin, r.umax, r.smin, r.smax};
  return {tnum_subreg(r.var_off), r.umin32, r.umax32, r.smin32, r.smax32};
}

/// -1: may be equal, 0: certainly not, 1: certainly.
int equal(const View& x, const View& y, const Scalar& a, const Scalar& b, bool is32) {
  if (x.t.is_const() && y.t.is_const()) return x.t.value == y.t.value ? 1 : 0;
  if (!tnum_overlap(x.t, y.t)) return 0;
  if (x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin) return 0;
  // 64-bit ranges that overlap may still have low halves that cannot be equal.
  if (!is32 && (a.umin32 > b.umax32 || a.umax32 < b.umin32 || a.smin32 > b.smax32 || a.smax32 < b.smin32)) {
    return 0;
  }
  return -1;
}

int bits_set(const View& x, const View& y) {
  if (!y.t.is_const()) return x.t.is_const() ? bits_set(y, x) : -1;
  if ((x.t.value & ~x.t.mask & y.t.value) != 0) return 1;
  if (((x.t.value | x.t.mask) & y.t.value) == 0) return 0;
  return -1;
}

/// a < b or, with or_equal, a <= b.
template <class T>
int less(T amin, T amax, T bmin, T bmax, bool or_equal) {
  if (or_equal ? amax <= bmin : amax < bmin) return 1;
  if (or_equal ? amin > bmax : amin >= bmax) return 0;
  return -1;
}

int negate(int outcome) { return outcome < 0 ? outcome : 1 - outcome; }

/// Both are equal: both have the intersection.
template <class A>
void intersect(A a, A b) {
  a.umin = b.umin = std::max(a.umin, b.umin);
  a.umax = b.umax = std::min(a.umax, b.umax);
  a.smin = b.smin = std::max(a.smin, b.smin);
  a.smax = b.smax = std::min(a.smax, b.smax);
}

/// A value that it cannot have is taken off the ends.
template <class A>
void trim(A a, u64 not_this) {
  using U = typename A::Unsigned;
  using S = typename A::Signed;
  const auto u = static_cast<U>(not_this);
  const auto s = static_cast<S>(u);
  if (a.umin == u) a.umin = static_cast<U>(a.umin + 1);
  if (a.umax == u) a.umax = static_cast<U>(a.umax - 1);
  if (a.smin == s) a.smin = static_cast<S>(static_cast<U>(a.smin) + 1);
  if (a.smax == s) a.smax = static_cast<S>(static_cast<U>(a.smax) - 1);
}

/// a <= b (strict: a < b), unsigned or signed. Wraps like the kernel's where a dead branch makes it.
template <class A>
void order(A a, A b, bool is_signed, bool strict) {
  using U = typename A::Unsigned;
  using S = typename A::Signed;
  const U one = strict ? 1 : 0;
  if (is_signed) {
    a.smax = std::min(a.smax, static_cast<S>(static_cast<U>(b.smax) - one));
    b.smin = std::max(static_cast<S>(static_cast<U>(a.smin) + one), b.smin);
  } else {
    a.umax = std::min(a.umax, static_cast<U>(b.umax - one));
    b.umin = std::max(static_cast<U>(a.umin + one), b.umin);
  }
}

void refine_equal(Scalar& a, Scalar& b, bool is32) {
  if (is32) {
    intersect(ranges32(a), ranges32(b));
    const Tnum low = tnum_intersect(tnum_subreg(a.var_off), tnum_subreg(b.var_off));
    a.var_off = tnum_with_subreg(a.var_off, low);
    b.var_off = tnum_with_subreg(b.var_off, low);
  } else {
    intersect(ranges64(a), ranges64(b));
    a.var_off = b.var_off = tnum_intersect(a.var_off, b.var_off);
  }
}

/// NE, JSET and its negation teach only the side that is compared with a constant.
void refine_by_constant(u8 op, Scalar& a, u64 value, bool is32) {
  switch (op) {
    case JNE:
      if (is32) {
        trim(ranges32(a), value);
      } else {
        trim(ranges64(a), value);
      }
      return;
    case JSET:
      // Only a single bit says which bit is set.
      if (!std::has_single_bit(value)) return;
      if (is32) {
        a.var_off = tnum_with_subreg(a.var_off, tnum_or(tnum_subreg(a.var_off), tnum_const(value)));
      } else {
        a.var_off = tnum_or(a.var_off, tnum_const(value));
      }
      return;
    default:  // jset_negated: none of the bits is set. Ranges go first: on a dead branch they would
              // contradict.
      forget_ranges(a);
      if (is32) {
        a.var_off = tnum_with_subreg(a.var_off, tnum_and(tnum_subreg(a.var_off), tnum_const(~value)));
      } else {
        a.var_off = tnum_and(a.var_off, tnum_const(~value));
      }
      return;
  }
}

}  // namespace

int branch_taken(u8 op, const Scalar& a, const Scalar& b, bool is32) {
  const View x = view(a, is32);
  const View y = view(b, is32);
  switch (op) {
    case JEQ:
      return equal(x, y, a, b, is32);
    case JNE:
      return negate(equal(x, y, a, b, is32));
    case JSET:
      return bits_set(x, y);
    case JLT:
      return less(x.umin, x.umax, y.umin, y.umax, false);
    case JLE:
      return less(x.umin, x.umax, y.umin, y.umax, true);
    case JGT:
      return less(y.umin, y.umax, x.umin, x.umax, false);
    case JGE:
      return less(y.umin, y.umax, x.umin, x.umax, true);
    case JSLT:
      return less(x.smin, x.smax, y.smin, y.smax, false);
    case JSLE:
      return less(x.smin, x.smax, y.smin, y.smax, true);
    case JSGT:
      return less(y.smin, y.smax, x.smin, x.smax, false);
    case JSGE:
      return less(y.smin, y.smax, x.smin, x.smax, true);
    default:
      return -1;
  }
}

u8 flip_jump(u8 op) {
  switch (op) {
    case JGT:
      return JLT;
    case JGE:
      return JLE;
    case JLT:
      return JGT;
    case JLE:
      return JGE;
    case JSGT:
      return JSLT;
    case JSGE:
      return JSLE;
    case JSLT:
      return JSGT;
    case JSLE:
      return JSGE;
    default:
      return op;
  }
}

u8 reverse_jump(u8 op) {
  switch (op) {
    case JEQ:
      return JNE;
    case JNE:
      return JEQ;
    case JSET:
      return jset_negated;
    case jset_negated:
      return JSET;
    case JGT:
      return JLE;
    case JGE:
      return JLT;
    case JLT:
      return JGE;
    case JLE:
      return JGT;
    case JSGT:
      return JSLE;
    case JSGE:
      return JSLT;
    case JSLT:
      return JSGE;
    case JSLE:
      return JSGT;
    default:
      return 0;
  }
}

void refine(u8 op, Scalar& a, Scalar& b, bool is32) {
  switch (op) {
    case JEQ:
      return refine_equal(a, b, is32);
    case JNE:
    case JSET:
    case jset_negated:
      if (b.is_const(is32)) return refine_by_constant(op, a, b.const_value(is32), is32);
      if (a.is_const(is32)) return refine_by_constant(op, b, a.const_value(is32), is32);
      return;
    case JGT:
    case JGE:
    case JSGT:
    case JSGE:
      return refine(flip_jump(op), b, a, is32);
    case JLT:
    case JLE:
    case JSLT:
    case JSLE: {
      const bool is_signed = op == JSLT || op == JSLE;
      const bool strict = op == JLT || op == JSLT;
      if (is32) {
        order(ranges32(a), ranges32(b), is_signed, strict);
      } else {
        order(ranges64(a), ranges64(b), is_signed, strict);
      }
      return;
    }
    default:
      return;
  }
}

void refine_branch(u8 op, bool is32, Scalar& true_a, Scalar& true_b, Scalar& false_a, Scalar& false_b) {
  refine(reverse_jump(op), false_a, false_b, is32);
  sync_bounds(false_a);
  sync_bounds(false_b);
  refine(op, true_a, true_b, is32);
  sync_bounds(true_a);
  sync_bounds(true_b);
}

}  // namespace skep::verifier
