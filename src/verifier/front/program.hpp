// What the phases before the walk find out about a program, and the phases themselves, in the order in which
// the kernel runs them (kernel: bpf_check() up to do_check_main()). Each phase is a function from the input
// and what earlier phases found to more of it; it returns 0 or a positive errno after saying why in the log.
// Relies on verify.hpp and log.hpp; knows nothing of registers' contents.
#pragma once
#include <vector>

#include "verifier/log/log.hpp"
#include "verifier/types/attach.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {

/// One instruction (kernel: the part of struct bpf_insn_aux_data that is fixed before the walk).
struct InsnNotes {
  bool prune_point = false;       ///< states are compared and stored here
  bool jump_point = false;        ///< reaching it adds an entry to the jump history
  bool force_checkpoint = false;  ///< a state is stored at every visit
  bool calls_callback = false;    ///< calls a helper that runs a callback synchronously
  bool iter_next = false;         ///< calls an iterator's next()
  bool jump_target = false;       ///< some goto or branch leads here
  u16 live_regs_before = 0;       ///< bit n: Rn may be read before it is written
  u32 scc = 0;                    ///< 1-based number of its strongly connected component; 0: in none
  s32 map_index = -1;             ///< ld_imm64 of a map: into Program::used_maps
  u32 map_off = 0;                ///< ld_imm64 of a map value: offset into it
  bool fastcall_pattern = false;  ///< spill or fill that a fastcall helper's pattern may remove
  u8 fastcall_spills = 0;         ///< at the call: how many spill/fill pairs stand round it
};

/// A subprogram (kernel: struct bpf_subprog_info). Program::subprogs has one extra last entry whose `start`
/// is the number of instructions.
struct SubprogNotes {
  u32 start = 0;
  u32 postorder_start = 0;  ///< into Program::postorder; ends at the next one's
  u32 linfo_index = 0;      ///< first of its line_info records
  bool has_tail_call = false;
  bool tail_call_reachable = false;
  bool has_ld_abs = false;
  bool changes_pkt_data = false;
  bool might_sleep = false;
  bool is_callback = false;          ///< sync or async callback (target of ld_imm64 src=4)
  bool is_global = false;            ///< BTF linkage global (never for the main program)
  s16 fastcall_stack_off = 0;        ///< slots at and below it hold only fastcall patterns' spills; 0: none
  bool keep_fastcall_stack = false;  ///< some pattern stays
  u32 type_id = 0;                   ///< BTF FUNC, 0 without func_info
  std::string_view name{};           ///< from BTF, empty without
};

struct Program {
  std::vector<isa::Insn> insns;  ///< as submitted
  std::vector<InsnNotes> notes;
  std::vector<SubprogNotes> subprogs;  ///< sorted by start, plus the end marker
  std::vector<const maps::MapFacts*> used_maps;
  const maps::MapFacts* arena = nullptr;  ///< the one of them that is an arena
  std::vector<u32> postorder;             ///< per subprogram, successors before predecessors
  AttachTarget attach;                    ///< of tracing and struct_ops programs
  u32 exception_callback = 0;             ///< the subprogram that bpf_throw() ends in; 0: none
  u32 scc_count = 0;                      ///< kernel numbering: highest id
  [[nodiscard]] u32 subprog_count() const { return static_cast<u32>(subprogs.size()) - 1; }
  /// Index of the subprogram that starts exactly at `insn`, or -1.
  [[nodiscard]] s32 find_subprog(u32 insn) const;
  /// Index of the subprogram that contains `insn`.
  [[nodiscard]] u32 containing_subprog(u32 insn) const;
};

/// `known`: the functions called so far (kfunc/front.cpp).
[[nodiscard]] int add_kfunc_call(const Input& input, const isa::Insn& insn, std::vector<u32>& known,
                                 Log& log);
/// `insn`: where the function starts that the main program names as its exception callback, or -1.
[[nodiscard]] int find_exception_callback(const Input& input, s64& insn, Log& log);

// Kernel order. `add_subprogs` expects program.insns to be filled.
[[nodiscard]] int check_btf_info_early(const Input& input, Program& program, Log& log);
[[nodiscard]] int add_subprogs(const Input& input, Program& program, Log& log);
[[nodiscard]] int check_subprogs(const Input& input, Program& program, Log& log);
[[nodiscard]] int check_btf_info(const Input& input, Program& program, Log& log);
/// Map references and opcodes. In program.insns the two imms of a map reference stay as submitted.
[[nodiscard]] int resolve_pseudo_ldimm64(const Input& input, Program& program, Log& log);
[[nodiscard]] int check_cfg(const Input& input, Program& program, Log& log);
[[nodiscard]] int check_attach_target(const Input& input, Program& program, Log& log);
/// Of struct_ops programs (types/function_table.cpp).
[[nodiscard]] int find_table_function(const Input& input, Program& program, Log& log);
[[nodiscard]] int compute_postorder(Program& program);
[[nodiscard]] int compute_scc(Program& program);
[[nodiscard]] int compute_live_registers(const Input& input, Program& program, Log& log);
void mark_fastcall_patterns(const Input& input, Program& program);

/// All of the above; `program` is complete if it returns 0.
[[nodiscard]] int run_front(const Input& input, Program& program, Log& log);

/// The successors of an instruction inside its subprogram, at most two; calls fall through.
struct Successors {
  u32 at[2] = {0, 0};
  u32 count = 0;
};
[[nodiscard]] Successors successors(const Program& program, u32 insn);

/// Registers read and written by one instruction, as bits (kernel: compute_insn_live_regs).
struct RegUse {
  u16 use = 0;
  u16 def = 0;
};
[[nodiscard]] RegUse register_use(const Input& input, const isa::Insn& insn);

}  // namespace skep::verifier
