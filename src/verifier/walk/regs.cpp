// Reading and writing registers as operands, and setting them to simple values (kernel: check_reg_arg(),
// mark_reg_*()).
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

Status Walk::refuse_reg(u32 regno, Use use) {
  if (regno >= reg_count) return e.reject(EINVAL, "R{} is invalid\n", regno);
  scratch_reg(regno);
  if (use == Use::source) return e.reject(EACCES, "R{} !read_ok\n", regno);
  return e.reject(EACCES, "frame pointer is read only\n");
}

void Walk::mark_unknown(RegState& reg) {
  reg = RegState{};
  reg.type = Base::scalar;
}

void Walk::mark_known(RegState& reg, u64 value) {
  reg = RegState{};
  reg.type = Base::scalar;
  reg.num = Scalar::constant(value);
}

void Walk::mark_known_zero_pointer(RegState& reg, RegType type) {
  reg = RegState{};
  reg.type = type;
  reg.num = Scalar::constant(0);
}

void Walk::mark_not_init(RegState& reg) { reg = RegState{}; }

void Walk::clear_caller_saved(Frame& frame) {
  for (u32 i = 0; i <= 5; ++i) {
    mark_not_init(frame.regs[i]);
    scratch_reg(i);
  }
}

void Walk::assign_scalar_id(RegState& reg) {
  if (!reg.is_scalar()) return;
  if ((reg.id & id_add_const) != 0) {  // one distance cannot be added to another
    reg.id = 0;
    reg.off = 0;
  }
  if (reg.id == 0 && !reg.num.is_const()) reg.id = ++e.id_gen;
}

Status Walk::mend_bounds(RegState& reg, std::string_view where) {
  if (e.log.enabled()) e.log.write(bounds_violation_text(reg.num, where));
  if (e.test_reg_invariants) return Status(EFAULT);
  forget_ranges(reg.num);  // what is known of single bits stays
  return passed;
}

}  // namespace skep::verifier
