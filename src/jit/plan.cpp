// Facts about functions and instructions that the emitter relies on.
#include "jit/plan.hpp"

#include <algorithm>

#include "base/limits.hpp"
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
  const u32 count = static_cast<u32>(program.insns.size());
  for (u32 i = 0; i < count; ++i) {
    const Form form = program.forms[i];
    if (form == Form::invalid) {
      plan.nodes[i].shape = Shape::absorbed;
      continue;
    }
    const Flow flow = flow_of(form);
    if (flow != Flow::jumps && flow != Flow::may_jump) continue;
    const u32 target = program.target(i);
    Node& node = plan.nodes[target];
    node.is_target = true;
    if (target <= i) {
      node.is_loop_head = true;
      node.loop_end = i;
    }
    if (node.jumps_in != 255) ++node.jumps_in;
  }
}

/// Deepest byte below R10 that the function touches directly, and whether R10 is also used in other ways.
struct StackUse {
  u32 direct = 0;
  bool indirect = false;
};

void note_stack(const isa::Insn& insn, Form form, StackUse& use) {
  const Family family = family_of(form);
  const bool base_is_src = family == Family::ldx || family == Family::ldxsx || family == Family::probe ||
                           family == Family::load_acquire;
  const bool is_memory = base_is_src || family == Family::st || family == Family::stx ||
                         family == Family::atomic || family == Family::store_release;
  const bool also_a_value =
      (family == Family::stx || family == Family::atomic || family == Family::store_release) &&
      insn.src == 10;
  if (!is_memory || also_a_value || (base_is_src ? insn.src : insn.dst) != 10 || insn.off >= 0) {
    use.indirect = true;
    return;
  }
  use.direct = std::max(use.direct, static_cast<u32>(-insn.off));
}

Function describe(const vm::Checked& program, u32 first, u32 end, u32 given_stack) {
  Function function{.first = first, .end = end};
  StackUse use;
  u32 mentioned = 0;
  for (u32 i = first; i < end; ++i) {
    const Form form = program.forms[i];
    if (form == Form::invalid) continue;
    const isa::Insn& insn = program.insns[i];
    const Operands operands = operands_of(insn, form);
    mentioned |= operands.reads | operands.writes;
    const Family family = family_of(form);
    if (family == Family::call || family == Family::tail_call) function.makes_calls = true;
    if (family == Family::may_goto) function.has_may_goto = true;
    if ((operands.reads & bit(10)) != 0) note_stack(insn, form, use);
  }
  function.saved = static_cast<u16>(mentioned & (bit(6) | bit(7) | bit(8) | bit(9)));
  function.uses_frame = (mentioned & bit(10)) != 0;
  if (function.has_may_goto) function.uses_frame = true;
  if (function.uses_frame) {
    u32 bytes = given_stack != 0 ? given_stack + vm::frame_slack
                : use.indirect   ? limits::stack_bytes + vm::frame_slack
                                 : 0;
    bytes = std::max(bytes, use.direct);
    function.stack_bytes = (bytes + 7) & ~u32{7};
  }
  return function;
}

bool needs_run_context(const vm::Checked& program) {
  return std::any_of(program.forms.begin(), program.forms.end(), [](Form form) {
    return form == Form::CALL_HELPER || form == Form::TAIL_CALL || form == Form::MOV_PERCPU;
  });
}

/// What blinded constants and retpolines take besides, at most.
constexpr u32 hardened_extra = 40;

void find_bounds(const vm::Checked& program, Plan& plan, u32 extra) {
  const u32 count = static_cast<u32>(program.insns.size());
  plan.bound.resize(count + 1);
  plan.bound[0] = 0;
  for (u32 i = 0; i < count; ++i) {
    const Node& node = plan.nodes[i];
    u32 bound = plan.bound[i] + bounds[isa::index_of(program.forms[i])] + extra;
    if (program.forms[i] == Form::CALL_HELPER) bound += map_call_bound(program, plan, i);
    if (node.unroll > 1) bound += (node.unroll - 1) * (bound - plan.bound[program.target(i)]);
    if (i + 1 < count && plan.nodes[i + 1].aligned) bound += loop_alignment - 1;
    plan.bound[i + 1] = bound;
  }
}

}  // namespace

std::optional<KnownTailCall> known_tail_call(const vm::Checked& program, const Plan& plan, u32 at) {
  std::optional<u64> map, index;
  for (u32 i = at; i-- > 0 && !plan.nodes[i + 1].is_target && (!map || !index);) {
    const Form form = program.forms[i];
    if (form == Form::invalid) continue;
    const Family family = family_of(form);
    if (family == Family::exit || family == Family::ja) return std::nullopt;
    const isa::Insn& insn = program.insns[i];
    const u16 writes = operands_of(insn, form).writes;
    // One of two values (Shape::select) is no constant.
    if ((writes & (bit(2) | bit(3))) != 0 && plan.nodes[i].shape != Shape::plain) return std::nullopt;
    if (!map && (writes & bit(2)) != 0) {
      if (form != Form::LD_IMM64_MAP_FD) return std::nullopt;
      map = program.imm64[i];
    }
    if (!index && (writes & bit(3)) != 0) {
      if (form != Form::MOV64_K && form != Form::MOV32_K) return std::nullopt;
      index = static_cast<u32>(insn.imm);
    }
  }
  if (!map || !index) return std::nullopt;
  const auto* base = reinterpret_cast<const std::byte*>(*map);
  return KnownTailCall{*map, load<u64>(base + maps::prog_array_count_offset), static_cast<u32>(*index)};
}

Plan make_plan(const vm::Checked& program, std::span<const u32> stack_bytes, const Options& options) {
  Plan plan;
  make_plan(program, stack_bytes, options, plan);
  return plan;
}

void make_plan(const vm::Checked& program, std::span<const u32> stack_bytes, const Options& options,
               Plan& plan) {
  const u32 count = static_cast<u32>(program.insns.size());
  plan.nodes.assign(count, Node{});
  plan.functions.clear();
  mark_targets(program, plan);
  for (u32 f = 0; f < program.entries.size(); ++f) {
    const u32 end = f + 1 < program.entries.size() ? program.entries[f + 1] : count;
    plan.functions.push_back(
        describe(program, program.entries[f], end, f < stack_bytes.size() ? stack_bytes[f] : 0));
  }
  if (program.entries.size() > 1)
    for (u32 i = 0; i < count; ++i)
      if (program.forms[i] == Form::LD_IMM64_FUNC)
        plan.functions[program.subprog_at(program.target(i))].is_callback = true;
  if (program.exception_callback != 0)
    plan.functions[program.subprog_at(program.exception_callback)].is_callback = true;
  plan.needs_run_context = needs_run_context(program);
  find_dead(program, plan);
  // What is combined has constants where a hardened emitter does not look.
  if (options.combine && !options.harden) {
    combine(program, options, plan);
    unroll_loops(program, plan);
  }
  find_bounds(program, plan, options.harden ? hardened_extra : 0);
}

}  // namespace skep::jit
