// What the phases of one verification share (kernel: struct bpf_verifier_env). The front phases (front/)
// fill `aux` and `subprogs`; the walk (walk/, mem/, call/, prune/) reads them and records what it learns.
// A phase returns a Status; the words of a refusal go to the log through reject().
#pragma once
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "verifier/log/buffer.hpp"
#include "verifier/state/pool.hpp"
#include "verifier/state/state.hpp"
#include "verifier/status.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {

/// Per instruction (kernel: struct bpf_insn_aux_data). The first block is written by the front phases.
struct InsnAux {
  bool prune_point = false;       ///< compare with earlier states here
  bool jump_point = false;        ///< remember in the history how we came here
  bool force_checkpoint = false;  ///< always keep a state here
  bool calls_callback = false;
  bool jump_target = false;
  bool fastcall_pattern = false;  ///< part of a spill/fill round a fastcall helper
  u8 fastcall_spills = 0;         ///< pairs, at the call itself
  u16 live_regs = 0;              ///< bit n: Rn may be read from here on before it is written
  u32 scc = 0;                    ///< strongly connected component; 0: none
  s32 map_index = -1;             ///< ld_imm64: into Env::used_maps
  u32 map_off = 0;                ///< ld_imm64 src=2/6: offset into the value
  s16 fastcall_stack_off = 0;

  // Written by the walk.
  bool seen = false;
  bool nospec = false;
  bool call_map_set = false, call_map_known = true, call_map_unpriv = false;
  s32 call_map_index = -1;  ///< of the map in R1 of a helper call
  bool constant_key_set = false, constant_key_known = true;
  s64 constant_key = -1;
  RegType pointer_type{};  ///< of the base register of a load or store
  u32 ctx_field_size = 0;
  bool loop_inline_seen = false;
  bool fits_inline_loop = false;
  u32 loop_inline_flags = 0;
  u32 loop_callback_subprog = 0;
};

/// How a global function's argument must look (kernel: struct bpf_subprog_arg_info).
struct GlobalArg {
  enum class Kind : u8 { anything, ctx, mem, unsupported } kind = Kind::anything;
  bool nullable = false;
  bool rdonly = false;
  u32 mem_size = 0;
};

/// One function of the program (kernel: struct bpf_subprog_info).
struct SubprogInfo {
  u32 start = 0;
  u32 end = 0;              ///< one past the last instruction
  u32 exit_idx = 0;         ///< its last exit
  u32 postorder_start = 0;  ///< into Env::postorder
  u32 postorder_end = 0;
  u32 stack_depth = 0;  ///< bytes used, found by the walk
  s32 fastcall_stack_off = 0;
  bool keep_fastcall_stack = false;
  bool is_global = false;  ///< BTF says global linkage
  bool called = false;     ///< reached by the walk (global functions)
  bool has_tail_call = false;
  bool tail_call_reachable = false;
  bool has_ld_abs = false;
  bool is_callback = false;
  bool is_async_callback = false;
  bool changes_packet = false;
  bool might_sleep = false;
  bool args_cached = false;
  u8 arg_count = 0;
  GlobalArg args[5];
  u32 btf_func_id = 0;  ///< type id of the BTF FUNC, 0: no func_info
  std::string name;     ///< from BTF; empty without func_info
};

namespace prune {
class Pruning;
}

struct Env {
  explicit Env(const Input& in, const LogOptions& options) : input(in), log(options) {}
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  const Input& input;
  LogBuffer log;
  std::string message;                ///< last line of the refusal, kept at log level 0, too
  std::span<const isa::Insn> insns;   ///< = input.insns
  std::vector<InsnAux> aux;           ///< one an instruction
  std::vector<SubprogInfo> subprogs;  ///< sorted by start; the first is the main program
  std::vector<const maps::MapFacts*> used_maps;
  std::vector<u32> postorder;  ///< instructions of each subprogram in postorder
  u32 scc_count = 0;           ///< components are numbered 1..scc_count
  bool seen_direct_write = false;
  bool test_state_freq = false, test_reg_invariants = false, strict_alignment = false;

  // The walk.
  StatePool pool;
  State* cur = nullptr;
  u32 insn_idx = 0;
  s32 prev_insn_idx = -1;
  u32 insn_processed = 0;
  u32 prev_insn_processed = 0, jmps_processed = 0, prev_jmps_processed = 0;
  u32 id_gen = 0;
  u32 cur_hist_idx = 0;
  u32 max_states_per_insn = 0, total_states = 0, peak_states = 0;

  [[nodiscard]] bool logging() const { return log.level() != 0; }
  [[nodiscard]] bool logging2() const { return (log.level() & 2) != 0; }

  /// Adds to the log (nothing at level 0).
  template <class... A>
  void print(fmt::format_string<A...> format, A&&... args) {
    if (log.level() != 0) log.append(fmt::format(format, std::forward<A>(args)...));
  }
  /// Logs a line of refusal, with its newline, and returns the errno as a Status.
  template <class... A>
  [[nodiscard]] Status reject(int code, fmt::format_string<A...> format, A&&... args) {
    return reject_text(code, fmt::format(format, std::forward<A>(args)...));
  }
  [[nodiscard]] Status reject_text(int code, std::string text);

  /// Index into `subprogs` of the function that holds instruction `idx`.
  [[nodiscard]] u32 subprog_of(u32 idx) const;
  /// Index of the function starting at `idx`, or -1.
  [[nodiscard]] s32 subprog_starting_at(u32 idx) const;
};

}  // namespace skep::verifier
