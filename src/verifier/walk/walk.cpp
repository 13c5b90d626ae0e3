// The loop over instructions and paths (kernel: do_check(), push_stack(), pop_stack(), do_check_common()).
#include "verifier/walk/walk.hpp"

#include <algorithm>

#include "isa/disasm.hpp"

namespace skep::verifier {

using namespace isa;

Status Walk::run() {
  CHECK(run_subprog(0));
  if (e.program.exception_callback != 0) e.subprog_aux[e.program.exception_callback].called = true;
  bool again = true;
  while (again) {  // a global function may call others
    again = false;
    for (u32 i = 1; i < e.program.subprog_count(); ++i) {
      SubprogAux& sub = e.subprog_aux[i];
      if (!is_global(i) || !sub.called || sub.verified) continue;
      CHECK(run_subprog(i));
      e.log.trace("Func#{} ('{}') is safe for any args that match its prototype\n", i,
                  e.program.subprogs[i].name);
      sub.verified = true;
      again = true;
    }
  }
  return passed;
}

Status Walk::run_subprog(u32 subprog) {
  e.insn_idx = e.program.subprogs[subprog].start;
  last_line = -1;
  e.cur = e.pool.new_state();
  State& state = *e.cur;
  state.branches = 1;
  state.in_sleepable = (e.input.prog_flags & uapi::F_SLEEPABLE) != 0;
  state.frame.set(0, e.pool.new_frame());
  state.first_insn_idx = e.insn_idx;
  state.last_insn_idx = ~u32{0};
  prepare_entry(subprog);
  Status status = passed;
  if (subprog != 0 || e.input.is_extension) {
    status = set_global_args(subprog);
  } else {
    say_of_main_signature();
  }
  if (status.ok()) status = loop();
  if (status.ok() && !e.log.level2()) e.log.reset(0);
  drop_paths();
  return status;
}

/// A main program whose BTF signature is none of a global function's is verified all the same; the log says
/// what is wrong with it.
void Walk::say_of_main_signature() {
  const u32 id = e.program.subprogs[0].type_id;
  SubprogAux& main = e.subprog_aux[0];
  main.unreliable = true;
  if (e.input.btf == nullptr || id == 0 || e.input.btf->type(id).linkage != btf::linkage_global) return;
  main.unreliable =
      !prepare_global_args(0).ok() || main.arg_count != 1 || main.args[0].kind != GlobalArg::Kind::ctx;
}

void Walk::prepare_entry(u32 subprog) {
  Frame& frame = e.cur->cur();
  frame.subprogno = subprog;
  mark_known_zero_pointer(frame.regs[frame_pointer], Base::stack);
  if (subprog == 0 && !e.input.is_extension) mark_known_zero_pointer(frame.regs[1], Base::ctx);
  scratched.all();
}

/// Forgets every state of the subprogram that was walked.
void Walk::drop_paths() {
  pending.clear();
  e.cur = nullptr;
  explored.forget_all();
  scc_visits.clear();
  backedge_count = 0;
  e.pool.forget_all();
}

Status Walk::loop() {
  s32 prev = -1;
  print_full_state = false;
  for (;;) {
    history_open = false;
    e.prev_insn_idx = prev;
    if (e.insn_idx >= insns.size())
      return e.reject(EFAULT, "invalid insn idx {} insn_cnt {}\n", e.insn_idx, insns.size());
    if (++e.insn_processed > limits::max_insns)
      return e.reject(E2BIG, "BPF program is too large. Processed {} insn\n", e.insn_processed);
    e.cur->last_insn_idx = static_cast<u32>(prev);
    e.cur->insn_idx = e.insn_idx;

    bool path_ends = false;
    const InsnNotes& notes = e.program.notes[e.insn_idx];
    if (notes.prune_point) CHECK(visit_prune_point(path_ends));
    if (!path_ends) {
      if (notes.jump_point) CHECK(push_history(*e.cur, 0, 0));
      const Insn& insn = insns[e.insn_idx];
      if (e.log.tracing()) print_before(insn);
      aux().seen = true;
      prev = static_cast<s32>(e.insn_idx);
      insn_idx_set = false;
      live.begin_insn(*e.cur, e.insn_idx);
      if (insn.code == (op::JMP | op::EXIT) || op_of(insn.code) == op::EXIT) {
        CHECK(class_of(insn.code) == op::JMP || class_of(insn.code) == op::JMP32 ? check_exit(insn, path_ends)
                                                                                 : step(insn));
      } else {
        CHECK(step(insn));
        if (insn.code == (op::JMP | op::CALL) && throws(insn)) CHECK(leave_by_exception(path_ends));
      }
      live.end_insn();
      if (!path_ends && !insn_idx_set) ++e.insn_idx;
    }
    if (path_ends) {
      bool finished = false;
      CHECK(end_of_path(finished));
      if (finished) return passed;
      prev = e.prev_insn_idx;
    }
  }
}

Status Walk::visit_prune_point(bool& pruned) {
  if (e.pool.bytes() > e.input.memory_limit)
    return e.reject(ENOMEM, "the states of the program take more than {} bytes\n", e.input.memory_limit);
  CHECK(is_state_visited(pruned));
  if (!pruned || !e.log.tracing()) return passed;
  if (print_full_state) {
    e.log.trace("\nfrom {} to {}: safe\n", e.prev_insn_idx, e.insn_idx);
  } else {
    e.log.trace("{}: safe\n", e.insn_idx);
  }
  return passed;
}

Status Walk::end_of_path(bool& finished) {
  scratched.all();
  CHECK(update_branch_counts(e.cur));
  live.update(*e.cur);
  finished = !pop_path();
  print_full_state = true;
  return passed;
}

Status Walk::push_path(u32 insn_idx, u32 prev_insn_idx, State*& pushed) {
  State* copy = e.pool.copy(*e.cur);
  pending.push_back({copy, insn_idx, prev_insn_idx, e.log.position()});
  if (pending.size() > limits::max_pending_branches)
    return e.reject(EFAULT, "The sequence of {} jumps is too complex.\n", pending.size());
  if (copy->parent != nullptr) ++copy->parent->branches;
  pushed = copy;
  return passed;
}

bool Walk::pop_path() {
  if (pending.empty()) return false;
  const PendingPath path = pending.back();
  pending.pop_back();
  e.pool.release(e.cur);
  e.cur = path.state;
  if (!e.log.level2()) e.log.reset(path.log_position);
  e.insn_idx = path.insn_idx;
  e.prev_insn_idx = static_cast<s32>(path.prev_insn_idx);
  return true;
}

/// One path fewer leads on from `state`; where none is left, from its parent, and so on up.
Status Walk::update_branch_counts(State* state) {
  while (state != nullptr) {
    if (--state->branches != 0) break;
    CHECK(maybe_exit_scc(*state));
    State* parent = state->parent;
    if (state->evicted && !incomplete_marks(*state)) explored.release_evicted(e.pool, state);
    state = parent;
  }
  return passed;
}

Status Walk::step(const Insn& insn) {
  switch (class_of(insn.code)) {
    case op::ALU:
    case op::ALU64:
      return check_alu(insn);
    case op::LDX:
      return check_load(insn, mode_of(insn.code) == op::MEMSX, false, "ldx");
    case op::STX:
      if (mode_of(insn.code) == op::ATOMIC) return check_atomic(insn);
      if (mode_of(insn.code) != op::MEM || insn.imm != 0)
        return e.reject(EINVAL, "BPF_STX uses reserved fields\n");
      return check_store(insn, false);
    case op::ST:
      return check_store_imm(insn);
    case op::LD:
      switch (mode_of(insn.code)) {
        case op::ABS:
        case op::IND:
          return check_ld_abs(insn);
        case op::IMM:
          return check_ld_imm(insn);
        default:
          return e.reject(EINVAL, "invalid BPF_LD mode\n");
      }
    default:
      break;
  }
  ++e.jmps_processed;
  const bool jmp32 = class_of(insn.code) == op::JMP32;
  if (op_of(insn.code) == op::CALL) {
    CHECK(check_call(insn));
    scratch_reg(0);
    return passed;
  }
  if (op_of(insn.code) != op::JA) return check_jump(insn);
  if (is_reg_source(insn.code) || insn.src != 0 || insn.dst != 0 || (!jmp32 && insn.imm != 0) ||
      (jmp32 && insn.off != 0))
    return e.reject(EINVAL, "BPF_JA uses reserved fields\n");
  e.insn_idx += static_cast<u32>(jmp32 ? insn.imm : s32{insn.off}) + 1;
  insn_idx_set = true;
  return passed;
}

// --- the trace -------------------------------------------------------------------------------------------

void Walk::print_before(const Insn&) {
  if (e.log.level2() && print_full_state) {
    e.log.trace("\nfrom {} to {}:", e.prev_insn_idx, e.insn_idx);
    print_frame(e.log, *e.cur, e.cur->cur(), nullptr);
    print_full_state = false;
  }
  if (scratched.any()) print_insn_state();
  print_source_line(e.insn_idx);
  insn_text_start = e.log.position();
  print_insn_text(e.insn_idx);
  insn_text_end = e.log.position();
  insn_text_length = insn_text_end - insn_text_start;
}

/// "12: (bf) r1 = r10" and a newline. Kept, as a log of level 2 has each instruction many times.
const std::string& Walk::insn_line(u32 idx) {
  if (insn_lines.empty()) insn_lines.resize(insns.size());
  std::string& line = insn_lines[idx];
  if (!line.empty()) return line;
  struct Names {
    static std::string call(const void* self, const Insn& insn) {
      const auto* walk = static_cast<const Walk*>(self);
      if (insn.src == uapi::PSEUDO_KFUNC_CALL && walk->kernel_btf() != nullptr)
        return fmt::format("{}#{}", walk->kernel_btf()->name(static_cast<u32>(insn.imm)), insn.imm);
      if (insn.src != 0) return {};
      return walk->helper_text(insn.imm);
    }
    static std::string imm64(const void* self, const Insn& first, u64 value) {
      const auto* walk = static_cast<const Walk*>(self);
      if (first.src == 0 || first.src == uapi::PSEUDO_FUNC || first.src == uapi::PSEUDO_BTF_ID) return {};
      const auto at = static_cast<u32>(&first - walk->insns.data());
      (void)value;
      const InsnNotes& notes = walk->e.program.notes[at];
      if (notes.map_index < 0) return {};
      const maps::MapFacts& map = *walk->e.program.used_maps[static_cast<u32>(notes.map_index)];
      const bool of_value = first.src == uapi::PSEUDO_MAP_VALUE || first.src == uapi::PSEUDO_MAP_IDX_VALUE;
      return fmt::format("{:#x}", of_value ? map.values_address + notes.map_off : map.map_address);
    }
  };
  line = fmt::format("{}: ", idx);
  const Symbols names{this, &Names::call, &Names::imm64};
  disassemble(line, std::span<const Insn>(insns).subspan(idx), names);
  line += '\n';
  return line;
}

void Walk::print_insn_text(u32 idx) { e.log.write(insn_line(idx)); }

/// The state after the last instruction, on its line if nothing was logged since.
void Walk::print_insn_state() {
  if (insn_text_end != 0 && insn_text_end == e.log.position()) {
    e.log.reset(insn_text_end - 1);
    const u64 wanted = std::max<u64>(insn_text_length + 4, 40);
    const u64 width = (wanted + 7) / 8 * 8 - insn_text_length - 1;
    e.log.write(std::string(width, ' ') + ";");
  } else {
    e.log.trace("{}:", e.insn_idx);
  }
  print_frame(e.log, *e.cur, e.cur->cur(), &scratched);
  scratched.none();
}

void Walk::print_source_line(u32 idx) {
  if (!e.log.enabled() || e.input.btf == nullptr || e.input.line_info.empty()) return;
  const auto& lines = e.input.line_info;
  const auto after = std::upper_bound(lines.begin(), lines.end(), idx,
                                      [](u32 i, const LineInfo& line) { return i < line.insn_off; });
  if (after == lines.begin()) return;
  const auto at = static_cast<s32>(after - lines.begin() - 1);
  if (at == last_line) return;
  const LineInfo& line = lines[static_cast<u32>(at)];
  if (last_line >= 0) {
    const LineInfo& last = lines[static_cast<u32>(last_line)];
    if (last.file_name_off == line.file_name_off && last.line_col >> 10 == line.line_col >> 10) return;
  }
  last_line = at;
  std::string_view text = e.input.btf->string(line.line_off);
  while (!text.empty() && (text.front() == ' ' || (text.front() >= '\t' && text.front() <= '\r')))
    text.remove_prefix(1);
  std::string_view file = e.input.btf->string(line.file_name_off);
  if (const auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  e.log.write("; ");
  e.log.write(text);
  e.log.write(fmt::format(" @ {}:{}\n", file, line.line_col >> 10));
}

}  // namespace skep::verifier
