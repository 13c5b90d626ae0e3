// Facts about functions and instructions that the emitter relies on.
#include "jit/plan.hpp"

#include <algorithm>

#include "jit/combine.hpp"
#include "jit/inline_map.hpp"
#include "jit/registers.hpp"

namespace skep::jit {

using isa::Family;
using isa::Form;

namespace {

/// An upper bound of the bytes that one instruction takes, by itself, whatever its operands.
constexpr u32 bound_by_family(Form form) {
  switch (isa::info(form).family) {
    case Family::alu64:
    case Family::alu32: {
      const u8 operation = isa::op_of(isa::info(form).code);
      return operation == isa::op::DIV || operation == isa::op::MOD ? 96 : 16;
    }
    case Family::ldx:
    case Family::ldxsx:
    case Family::probe:
    case Family::stx:
    case Family::load_acquire:
    case Family::store_release:
      return 10;
    case Family::end:
    case Family::st:
      return 14;
    case Family::movsx:
    case Family::zext:
      return 4;
    case Family::atomic:
      return 56;
    case Family::ld_imm64:
      return 10;
    case Family::jcond64:
    case Family::jcond32:
      return 14;
    case Family::ja:
      return 5;
    case Family::may_goto:
      return 24;
    case Family::call:
      return 20;
    case Family::exit:
      return 24;
    case Family::tail_call:
      return 110;
    default:
      return 16;
  }
}

consteval std::array<u8, isa::form_count + 1> make_bounds() {
  std::array<u8, isa::form_count + 1> bounds{};
  for (u32 i = 0; i < isa::form_count; ++i)
    bounds[i] = static_cast<u8>(bound_by_family(static_cast<Form>(i)));
  return bounds;
}
/// By form; nothing for the second slots of ld_imm64.
constexpr auto bounds = make_bounds();

void mark_targets(const vm::Checked& program, Plan& plan) {
  for (const u32 i : program.jumps) {
    if (program.forms[i] == Form::CALL_LOCAL) continue;
    const u32 target = program.target(i);
    Node& node = plan.nodes[target];
    if (node.jumps_in != 255) ++node.jumps_in;
    if (target > i) continue;
    node.is_loop_head = true;
    plan.loop_end[target] = i;
  }
}

/// Where functions begin and end, and what the instructions with symbols say of them.
void find_functions(const vm::Checked& program, Plan& plan) {
  const auto count = static_cast<u32>(program.entries.size());
  plan.functions.resize(count);
  for (u32 f = 0; f < count; ++f)
    plan.functions[f] = {
        .first = program.entries[f],
        .end = f + 1 < count ? program.entries[f + 1] : static_cast<u32>(program.insns.size())};
  const auto function_of = [&](u32 i) -> Function& {
    return plan.functions[count == 1 ? 0 : program.subprog_at(i)];
  };
  for (const u32 i : program.jumps) {
    if (program.forms[i] == Form::CALL_LOCAL) function_of(i).makes_calls = true;
    if (program.forms[i] == Form::MAY_GOTO) function_of(i).has_may_goto = true;
  }
  plan.needs_run_context = plan.calls_out = false;
  for (const u32 i : program.symbols) {
    const Form form = program.forms[i];
    const Family family = family_of(form);
    if (family == Family::ld_imm64) plan.nodes[i + 1].shape = Shape::absorbed;
    if (family == Family::call || family == Family::tail_call)
      function_of(i).makes_calls = function_of(i).calls_helpers = true;
    if (form == Form::LD_IMM64_FUNC) function_of(program.target(i)).is_callback = true;
    plan.calls_out |= form == Form::CALL_HELPER || form == Form::TAIL_CALL;
    plan.needs_run_context |= form == Form::MOV_PERCPU;
  }
  plan.needs_run_context |= plan.calls_out;
  if (program.exception_callback != 0) function_of(program.exception_callback).is_callback = true;
}

/// What any Shape takes at most: two constants, a comparison and a conditional move (Shape::select).
constexpr u32 shaped_bound = 40;

/// What blinded constants and retpolines take besides, at most.
constexpr u32 hardened_extra = 40;

u32 call_bound(const vm::Checked& program, const Plan& plan, u32 at) {
  return is_inlined(program.helper(at)) ? helper_bound : map_call_bound(program, plan, at);
}

/// Of a function that is inlined: no calls, no loops.
u32 body_bound(const vm::Checked& program, const Plan& plan, const Function& function) {
  u32 bound = 0;
  for (u32 i = function.first; i < function.end; ++i)
    bound += plan.nodes[i].shape == Shape::plain ? bounds[isa::index_of(program.forms[i])] : shaped_bound;
  return bound;
}

void find_bounds(const vm::Checked& program, Plan& plan, u32 extra) {
  const u32 count = static_cast<u32>(program.insns.size());
  plan.bound.resize(count + 1);
  u32* const out = plan.bound.data();
  const Node* const nodes = plan.nodes.data();
  const Form* const forms = program.forms.data();
  u32 bound = 0;
  for (u32 i = 0; i < count; ++i) {
    const Node node = nodes[i];
    if (node.aligned) bound += loop_alignment - 1;  // before the instruction's own place: jumps here span it
    out[i] = bound;
    if (node.shape == Shape::plain) [[likely]] {
      bound += bounds[isa::index_of(forms[i])] + extra;
      if (forms[i] == Form::CALL_HELPER) bound += call_bound(program, plan, i);
    } else if (node.shape == Shape::inlined) {
      bound += body_bound(program, plan, plan.functions[program.subprog_at(program.target(i))]);
    } else if (node.shape != Shape::absorbed && node.shape != Shape::nothing) {
      bound += shaped_bound;
    }
    if (node.unroll > 1) bound += (node.unroll - 1u) * (bound - out[program.target(i)]);
  }
  plan.bound[count] = bound;
}

}  // namespace

std::optional<u64> moved_constant(const vm::Checked& program, const Plan& plan, u32 at) {
  if (plan.nodes[at].shape != Shape::plain) return std::nullopt;
  const s32 imm = program.insns[at].imm;
  if (program.forms[at] == Form::MOV64_K) return static_cast<u64>(s64{imm});
  if (program.forms[at] == Form::MOV32_K) return static_cast<u32>(imm);
  return std::nullopt;
}

std::optional<KnownTailCall> known_tail_call(const vm::Checked& program, const Plan& plan, u32 at) {
  std::optional<u64> map, index;
  for (u32 i = at; i-- > 0 && !plan.nodes[i + 1].is_target() && (!map || !index);) {
    const Form form = program.forms[i];
    if (form == Form::invalid) continue;
    const Family family = family_of(form);
    if (family == Family::exit || family == Family::ja) return std::nullopt;
    const isa::Insn& insn = program.insns[i];
    const u16 writes = operands_of(insn, form).writes;
    if ((writes & (bit(2) | bit(3))) != 0 && plan.nodes[i].shape != Shape::plain) return std::nullopt;
    if (!map && (writes & bit(2)) != 0) {
      if (form != Form::LD_IMM64_MAP_FD) return std::nullopt;
      map = program.imm64[i];
    }
    if (!index && (writes & bit(3)) != 0) {
      index = moved_constant(program, plan, i);
      if (!index) return std::nullopt;
    }
  }
  if (!map || !index) return std::nullopt;
  const auto* base = reinterpret_cast<const std::byte*>(*map);
  return KnownTailCall{*map, load<u64>(base + maps::prog_array_count_offset), static_cast<u32>(*index)};
}

namespace {
/// Where control goes from the conditional jump at `next` if the one at `at` was taken and has the same or
/// the opposite condition of the same operands; else `next`.
u32 after(const vm::Checked& program, u32 at, u32 next) {
  const isa::Insn &a = program.insns[at], &b = program.insns[next];
  if (family_of(program.forms[at]) != family_of(program.forms[next]) ||
      isa::registers_of(a) != isa::registers_of(b))
    return next;
  if (isa::is_reg_source(a.code) != isa::is_reg_source(b.code)) return next;
  if (!isa::is_reg_source(a.code) && a.imm != b.imm) return next;
  const u8 first = isa::op_of(a.code), second = isa::op_of(b.code);
  if (first == second) return program.target(next);
  const auto are = [&](u8 x, u8 y) { return (first == x && second == y) || (first == y && second == x); };
  namespace op = isa::op;
  const bool opposite = are(op::JEQ, op::JNE) || are(op::JGT, op::JLE) || are(op::JGE, op::JLT) ||
                        are(op::JSGT, op::JSLE) || are(op::JSGE, op::JSLT);
  return opposite ? next + 1 : next;
}
}  // namespace

u32 destination(const vm::Checked& program, const Plan& plan, u32 at) {
  u32 target = program.target(at);
  for (u32 hops = 0; hops < 4 && plan.nodes[target].shape == Shape::plain; ++hops) {
    const Family family = family_of(program.forms[target]);
    const u32 next = family == Family::ja     ? program.target(target)
                     : is_conditional(family) ? after(program, at, target)
                                              : target;
    if (next == target) break;
    target = next;
  }
  return target;
}

void make_plan(const vm::Checked& program, std::span<const u32> stack_bytes, const Options& options,
               Plan& plan) {
  const std::size_t count = program.insns.size();
  plan.nodes.resize(count);
  std::fill(plan.nodes.begin(), plan.nodes.end(), Node{});
  plan.details.resize(count);
  plan.loop_end.resize(count);
  mark_targets(program, plan);
  find_functions(program, plan);
  describe(program, stack_bytes, plan);
  // What is combined has constants where a hardened emitter does not look.
  if (options.combine && !options.harden) {
    inline_functions(program, plan);
    combine(program, options, plan);
    unroll_loops(program, plan);
  }
  find_bounds(program, plan, options.harden ? hardened_extra : 0);
}

}  // namespace skep::jit
