// What one verification holds (kernel: struct bpf_verifier_env). The front phases (front/) fill `program`;
// the walk (walk/, mem/, call/, prune/) reads it and records what it learns in `aux` and `subprog_aux`.
// The walk's functions return a Status; the words of a refusal go to the log through reject().
#pragma once
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "verifier/front/program.hpp"
#include "verifier/log/log.hpp"
#include "verifier/state/pool.hpp"
#include "verifier/state/state.hpp"
#include "verifier/status.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {

/// What the walk learns of an instruction (kernel: the rest of struct bpf_insn_aux_data; what is known before
/// the walk is in InsnNotes).
struct InsnAux {
  bool seen = false;
  bool nospec = false;
  bool call_map_set = false, call_map_known = true, call_map_inner = false;
  bool constant_key_set = false, constant_key_known = true;
  bool loop_inline_seen = false, fits_inline_loop = false;
  s32 call_map_index = -1;  ///< of the map in R1 of a helper call, into Program::used_maps
  s64 constant_key = -1;
  const maps::MapFacts* paired_map = nullptr;  ///< the helper called here was found to take it
  RegType pointer_type{};                      ///< of the base register of a load or store
  u32 ctx_field_size = 0;
  u32 kernel_type = 0;  ///< as InsnFacts has it
  s32 kernel_off = 0;
  u32 loop_inline_flags = 0;
  u32 loop_callback_subprog = 0;
  const btf::Btf* object_btf = nullptr;  ///< as InsnFacts has them
  u32 object_type = 0, object_size = 0, node_offset = 0;
  bool objects_differ = false;
};

/// How a global function's argument must look (kernel: struct bpf_subprog_arg_info).
struct GlobalArg {
  enum class Kind : u8 { anything, ctx, mem, dynptr, trusted, untrusted, untrusted_mem, arena };
  Kind kind = Kind::anything;
  bool nullable = false;
  u32 mem_size = 0;  ///< mem
  u32 btf_id = 0;    ///< trusted, untrusted: the kernel's type
};

/// What the walk learns of a subprogram (kernel: the rest of struct bpf_subprog_info).
struct SubprogAux {
  u32 stack_depth = 0;  ///< bytes used
  s32 fastcall_stack_off = 0;
  bool called = false;  ///< reached by the walk (global functions)
  bool verified = false;
  bool is_callback = false;
  bool is_async_callback = false;
  bool args_cached = false;
  bool unreliable = false;  ///< it is called with something else than its BTF says
  u8 arg_count = 0;
  GlobalArg args[5];
};

namespace prune {
class Pruning;
}

struct Env {
  explicit Env(const Input& in, const LogOptions& options) : input(in), log(options) {}
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  const Input& input;
  Log log;
  Program program;                      ///< filled by the front phases
  std::vector<InsnAux> aux;             ///< one an instruction
  std::vector<SubprogAux> subprog_aux;  ///< one a subprogram
  bool seen_direct_write = false;
  u32 max_ctx_offset = 0;       ///< bytes of context that instructions and helpers reach
  bool seen_exception = false;  ///< some path throws
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

  /// Says a line of refusal, with its newline, and returns the errno as a Status.
  template <class... A>
  [[nodiscard, gnu::cold, gnu::noinline]] Status reject(int code, fmt::format_string<A...> format,
                                                        A&&... args) {
    log.say(format, std::forward<A>(args)...);
    return Status(code);
  }
};

}  // namespace skep::verifier
