// Which registers an instruction and those after it may still read: backward dataflow over each function,
// and the table of it that a level-2 log begins with (kernel: compute_live_registers()).
#include "verifier/front/insns.hpp"
#include "verifier/front/program.hpp"
#include "verifier/kfunc/kfunc.hpp"
#include "verifier/log/insn_text.hpp"

namespace skep::verifier {
namespace {

constexpr u16 bit(u32 reg) { return static_cast<u16>(1u << reg); }
constexpr u16 r0 = bit(0);
constexpr u16 caller_saved = 0x3f;   // r0-r5
constexpr u16 all_arguments = 0x3e;  // r1-r5
constexpr u16 everything = 0xffff;

u16 call_arguments(const Input& input, const isa::Insn& insn) {
  if (is_kfunc_call(insn)) {
    if (kfunc::callable(input, insn) == nullptr) return all_arguments;
    return static_cast<u16>((1u << (kfunc::parameter_count(input, insn) + 1)) - 2) & all_arguments;
  }
  if (!is_helper_call(insn) || input.helper == nullptr) return all_arguments;
  const helpers::Contract* contract =
      input.helper(input.type, input.expected_attach_type, static_cast<u32>(insn.imm));
  if (contract == nullptr) return all_arguments;
  u16 used = 0;
  for (u32 i = 0; i < contract->args.size() && contract->args[i].kind != helpers::Arg::none; ++i) {
    used |= bit(i + 1);
  }
  return used;
}

RegUse atomic_use(const isa::Insn& insn) {
  const u16 dst = bit(insn.dst);
  const u16 src = bit(insn.src);
  switch (insn.imm) {
    case isa::op::CMPXCHG:
      return {static_cast<u16>(r0 | dst | src), r0};
    case isa::op::LOAD_ACQ:
      return {src, dst};
    case isa::op::STORE_REL:
      return {static_cast<u16>(dst | src), 0};
    default:
      return {static_cast<u16>(dst | src), (insn.imm & isa::op::FETCH) != 0 ? src : u16{0}};
  }
}

RegUse alu_use(const isa::Insn& insn) {
  const u16 dst = bit(insn.dst);
  const u16 src = isa::is_reg_source(insn.code) ? bit(insn.src) : u16{0};
  switch (isa::op_of(insn.code)) {
    case isa::op::END:
      return {dst, dst};
    case isa::op::MOV:
      return {src, dst};
    default:
      return {static_cast<u16>(dst | src), dst};
  }
}

RegUse jump_use(const Input& input, const isa::Insn& insn) {
  switch (isa::op_of(insn.code)) {
    case isa::op::JA:
    case isa::op::JCOND:
      return {0, 0};
    case isa::op::EXIT:
      return {r0, 0};
    case isa::op::CALL:
      return {call_arguments(input, insn), caller_saved};
    default:
      return {static_cast<u16>(bit(insn.dst) | (isa::is_reg_source(insn.code) ? bit(insn.src) : 0)), 0};
  }
}

void print_table(const Input& input, const Program& program, Log& log) {
  log.write("Live regs before insn:\n");
  for (u32 i = 0; i < program.insns.size(); i += slots(program.insns[i])) {
    const InsnNotes& notes = program.notes[i];
    std::string line = notes.scc != 0 ? fmt::format("{:3} ", notes.scc) : "    ";
    line += fmt::format("{:3}: ", i);
    for (u32 reg = 0; reg < 10; ++reg) {
      line += (notes.live_regs_before & bit(reg)) != 0 ? static_cast<char>('0' + reg) : '.';
    }
    line += ' ';
    line += insn_text(input, program, i);
    line += '\n';
    log.write(line);
  }
}

}  // namespace

RegUse register_use(const Input& input, const isa::Insn& insn) {
  const u16 dst = bit(insn.dst);
  const u16 src = bit(insn.src);
  switch (isa::class_of(insn.code)) {
    case isa::op::LD:
      return isa::is_ld_imm64(insn) ? RegUse{0, dst} : RegUse{everything, 0};
    case isa::op::LDX:
      return {src, dst};
    case isa::op::ST:
      return {dst, 0};
    case isa::op::STX:
      if (isa::mode_of(insn.code) == isa::op::ATOMIC) return atomic_use(insn);
      return {static_cast<u16>(dst | src), 0};
    case isa::op::ALU:
    case isa::op::ALU64:
      return alu_use(insn);
    default:
      return jump_use(input, insn);
  }
}

int compute_live_registers(const Input& input, Program& program, Log& log) {
  std::vector<RegUse> uses(program.insns.size());
  for (u32 i = 0; i < program.insns.size(); ++i) uses[i] = register_use(input, program.insns[i]);
  for (bool changed = true; changed;) {
    changed = false;
    for (const u32 at : program.postorder) {
      u16 after = 0;
      const Successors next = successors(program, at);
      for (u32 k = 0; k < next.count; ++k) after |= program.notes[next.at[k]].live_regs_before;
      const auto before = static_cast<u16>((after & ~uses[at].def) | uses[at].use);
      changed |= before != program.notes[at].live_regs_before;
      program.notes[at].live_regs_before = before;
    }
  }
  if (log.level2()) print_table(input, program, log);
  return 0;
}

}  // namespace skep::verifier
