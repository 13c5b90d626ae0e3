// The symbolic walk: every path of the program is followed with abstract registers and stack, instruction by
// instruction, until all have reached an exit or a state already seen (kernel: do_check() and all below it).
// One class, spread over walk/ (instructions), mem/ (loads and stores), call/ (helpers and subprograms) and
// prune/ (states seen before, precision). Env holds the state; a function that refuses has said why in the
// log.
#pragma once
#include <bit>
#include <utility>

#include "progs/prog_type.hpp"
#include "verifier/env.hpp"
#include "verifier/kfunc/kfunc.hpp"
#include "verifier/prune/backtrack.hpp"
#include "verifier/prune/explored.hpp"
#include "verifier/prune/idmap.hpp"
#include "verifier/prune/linked.hpp"
#include "verifier/prune/liveness.hpp"
#include "verifier/state/dynptr.hpp"
#include "verifier/state/print.hpp"
#include "verifier/walk/found.hpp"

namespace skep::verifier {

enum class Access : u8 { read, write };

/// Flags beyond those that only say that a pointer may be trusted (kernel: bpf_type_has_unsafe_modifiers()).
[[nodiscard]] bool has_unsafe_modifiers(RegType type);
/// The kernel struct behind a register type that stands for one: "sock", "bpf_map", ...; else empty.
[[nodiscard]] std::string_view struct_of_base(Base base);

class Walk {
 public:
  /// A pointer that kernel functions may rely on.
  static bool is_trusted(const RegState& reg);

  explicit Walk(Env& env)
      : e(env),
        insns(env.program.insns),
        live(env.program, env.log),
        explored(env.program.insns.size()),
        concerned_by_precision(concerned_regs(env.program.insns)) {}

  /// The main program, then every global function that was called.
  Status run();
  /// After the walk: the stack of every call chain fits (mem/stack_depth.cpp).
  Status check_max_stack_depth();

 private:
  // --- walk.cpp: paths ---------------------------------------------------------------------------------
  Status run_subprog(u32 subprog);
  Status loop();
  Status step(const isa::Insn& insn);
  Status visit_prune_point(bool& pruned);
  Status end_of_path(bool& finished);
  Status push_path(u32 insn_idx, u32 prev_insn_idx, State*& pushed);
  bool pop_path();
  Status update_branch_counts(State* state);
  void drop_paths();
  void print_before(const isa::Insn& insn);
  void print_insn_state();
  void print_source_line(u32 idx);
  const std::string& insn_line(u32 idx);
  void print_insn_text(u32 idx);
  void prepare_entry(u32 subprog);
  void say_of_main_signature();
  Status prepare_global_args(u32 subprog);
  Status set_global_args(u32 subprog);

  // --- regs.cpp ----------------------------------------------------------------------------------------
  enum class Use : u8 { source, dest, dest_keep };
  Status check_reg(u32 regno, Use use) {
    const bool good = regno < reg_count && (use == Use::source ? regs()[regno].type.base != Base::not_init
                                                               : regno != frame_pointer);
    if (!good) [[unlikely]]
      return refuse_reg(regno, use);
    scratch_reg(regno);
    if (use == Use::dest) mark_unknown(regs()[regno]);
    return passed;
  }
  Status refuse_reg(u32 regno, Use use);
  void mark_unknown(RegState& reg);
  void mark_known(RegState& reg, u64 value);
  void mark_known_zero_pointer(RegState& reg, RegType type);
  void mark_not_init(RegState& reg);
  void mark_invalid(RegState& reg) { mark_unknown(reg); }
  void clear_caller_saved(Frame& frame);
  void assign_scalar_id(RegState& reg);
  Status check_bounds_sane(RegState& reg, std::string_view where) {
    return is_sane(reg.num) ? passed : mend_bounds(reg, where);
  }
  Status mend_bounds(RegState& reg, std::string_view where);
  template <class Which, class Change>
  void for_each_reg(State& state, Which&& which, Change&& change);

  // --- alu.cpp, pointer_math.cpp -----------------------------------------------------------------------
  Status check_alu(const isa::Insn& insn);
  Status check_neg_end(const isa::Insn& insn);
  Status check_mov(const isa::Insn& insn);
  void mov_register(const isa::Insn& insn);
  Status check_binary(const isa::Insn& insn);
  Status adjust_registers(const isa::Insn& insn);
  Status adjust_scalars(const isa::Insn& insn, RegState& dst, const Scalar& src);
  void link_after_add(const isa::Insn& insn, RegState& dst, const Scalar& src);
  Status adjust_pointer(const isa::Insn& insn, const RegState& ptr, const RegState& off);
  Status check_sane_offset(const RegState& reg, RegType type);
  void add_to_pointer(RegState& dst, const RegState& ptr, const RegState& off);
  void subtract_from_pointer(RegState& dst, const RegState& ptr, const RegState& off);

  // --- jump.cpp, packet_range.cpp ----------------------------------------------------------------------
  Status check_jump(const isa::Insn& insn);
  Status check_may_goto(const isa::Insn& insn);
  Status check_jump_operands(const isa::Insn& insn, RegState*& src);
  int branch_outcome(const RegState& a, const RegState& b, u8 opcode, bool is32);
  Status split_paths(const isa::Insn& insn, RegState& dst, RegState* src);
  Status refine_operands(const isa::Insn& insn, RegState& dst, RegState& src, State& other);
  void transfer_nullness(const isa::Insn& insn, const RegState& dst, const RegState& src, State& other);
  void collect_linked(State& state, u32 id, LinkedRegs& linked);
  void sync_linked(State& state, const RegState& known, const LinkedRegs& linked);
  void mark_not_null(RegState& reg);
  const maps::MapFacts* inner_of(const maps::MapFacts* outer);
  void mark_null_outcome(State& state, u32 regno, bool is_null);
  bool match_packet_pointers(const isa::Insn& insn, RegState& dst, RegState& src, State& other);
  void find_good_packet_pointers(State& state, const RegState& ptr, bool right_open);
  void mark_packet_end(State& state, u32 regno, bool right_open);

  // --- load_imm.cpp, exit.cpp --------------------------------------------------------------------------
  Status check_ld_imm(const isa::Insn& insn);
  Status check_ld_abs(const isa::Insn& insn);
  Status check_exit(const isa::Insn& insn, bool& path_ends);
  Status check_return_value(u32 regno, std::string_view reg_name);
  [[nodiscard]] std::optional<ReturnRange> wanted_result() const;
  Status check_resource_leak(std::string_view what, bool locks_too);
  Status check_reference_leak();
  Status return_from_subprog();
  Status reject_out_of_range(const RegState& reg, ReturnRange range, std::string_view where,
                             std::string_view reg_name);

  // --- mem/ --------------------------------------------------------------------------------------------
  Status check_load(const isa::Insn& insn, bool sign_extend, bool strict_once, std::string_view where);
  Status check_store(const isa::Insn& insn, bool strict_once);
  Status check_store_imm(const isa::Insn& insn);
  Status check_atomic(const isa::Insn& insn);
  Status check_atomic_rmw(const isa::Insn& insn);
  bool atomic_pointer_ok(const RegState& reg);
  /// `value_regno`: -1: no register. `size` in bytes.
  Status check_mem_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno, bool strict_once,
                          bool sign_extend);
  Status check_map_value_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno,
                                bool sign_extend);
  Status check_ctx_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno, bool sign_extend);
  Status fill_from_ctx(RegState& value, progs::CtxKind kind);
  Status check_tp_buffer(const RegState& reg, u32 regno, s32 off, u32 size);
  Status check_stack_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno);
  Status check_packet_mem(u32 regno, s32 off, u32 size, Access access, s32 value_regno);
  Status check_alignment(const RegState& reg, s32 off, u32 size, bool strict_once);
  Status check_region(u32 regno, s32 off, s32 size, u32 mem_size, bool zero_size_allowed);
  Status check_region_fixed(u32 regno, s64 off, s32 size, u32 mem_size, bool zero_size_allowed);
  Status check_map_permission(const RegState& reg, s32 off, s32 size, Access access);
  Status check_map_range(u32 regno, s32 off, s32 size, bool zero_size_allowed, bool by_helper);
  Status check_map_field(const RegState& reg, const btf::Field& field, s32 off, s32 size, bool by_helper);
  Status check_packet_range(u32 regno, s32 off, s32 size, bool zero_size_allowed);
  Status check_pointer_unmodified(const RegState& reg, u32 regno, bool fixed_off_ok);
  Status record_pointer_type(RegType type, bool allow_trust_mismatch);
  bool may_access_packet(const CallMeta* meta, Access access);
  /// The frame whose stack the pointer points to: to write to, or only to look at.
  Frame& frame_of(const RegState& reg) { return *e.cur->frame[reg.frameno]; }
  const Frame& stack_of(const RegState& reg) const { return *std::as_const(*e.cur).frame[reg.frameno]; }
  Status check_stack_bounds(u32 regno, s32 off, s32 size, Access access);
  Status stack_write_fixed(Frame& frame, s32 off, u32 size, s32 value_regno);
  Status stack_write_variable(Frame& frame, u32 regno, s32 off, u32 size, s32 value_regno);
  Status stack_read_fixed(Frame& frame, s32 off, u32 size, s32 dst_regno);
  Status stack_read_narrow(Frame& frame, const StackSlot& slot, s32 off, u32 size, u32 spill_size,
                           s32 dst_regno, u32& history_flags);
  void set_from_stack_bytes(const Frame& frame, s32 min_off, s32 max_off, u32 dst_regno);
  Status check_stack_range(u32 regno, s32 off, s32 size, bool zero_size_allowed, Access access,
                           CallMeta* meta);
  Status fill_stack(u32 regno, s32 size);
  void save_register(Frame& frame, u32 spi, const RegState& reg, u32 size);
  void scrub_slot(StackSlot& slot);
  void check_fastcall_contract(const Frame& frame, s32 off);
  void set_const_zero(RegState& reg);
  struct ChainOfCalls;
  Status depth_of_chain(u32 subprog, bool private_stack, std::vector<u8>& modes);
  Status enter_frame(ChainOfCalls& chain, u32 subprog);
  Status next_callee(ChainOfCalls& chain, s32& callee);
  Status check_throw(const ChainOfCalls& chain, u32 insn_idx);
  u32 rounded_depth(u32 subprog) const;

  // --- call/ -------------------------------------------------------------------------------------------
  Status check_call(const isa::Insn& insn);
  Status check_helper_call(const isa::Insn& insn);
  Status check_helper_known(s32 func_id, const helpers::Contract*& contract);
  Status check_helper_arg(u32 arg, const helpers::Contract& contract, CallMeta& meta);
  Status check_arg_type(u32 regno, const helpers::ArgSpec& spec, CallMeta& meta);
  Status check_arg_offset(const RegState& reg, u32 regno, const helpers::ArgSpec& spec);
  Status check_arg_by_kind(u32 arg, const helpers::Contract& contract, const helpers::ArgSpec& spec,
                           CallMeta& meta);
  Status check_helper_mem(u32 regno, s32 size, Access access, bool zero_size_allowed, CallMeta* meta);
  Status check_size_arg(u32 regno, Access access, bool zero_size_allowed, CallMeta& meta);
  Status constant_map_key(const RegState& key, u32 key_size, s64& value);
  Status record_call_map(const CallMeta& meta);
  [[nodiscard]] bool is_inner(const maps::MapFacts& map) const;
  Status record_tail_call_key(const CallMeta& meta);
  Status check_map_helper_pair(const maps::MapFacts* map, s32 func_id);
  [[nodiscard]] bool may_change_sockets(s32 func_id) const;
  Status set_call_result(const helpers::Contract& contract, const CallMeta& meta);
  Status release_argument(const helpers::Contract& contract, const CallMeta& meta);
  // callback.cpp, locks.cpp, dynptr.cpp, btf_args.cpp
  Status enter_callbacks(const CallMeta& meta);
  Status push_callback(const CallMeta& meta);
  Status push_async_callback(const CallMeta& meta);
  Status set_callback_args(const CallMeta& meta, const RegState* caller, Frame& callee);
  Status enter_kfunc_callback(const kfunc::Call& call);
  Status set_kfunc_callback_args(const kfunc::Call& call, const RegState* caller, Frame& callee);
  void set_async_callback_args(const maps::MapFacts* map, u32 map_uid, Frame& callee);
  Status note_inline_loop(u32 subprog);
  void mark_map_pointer(RegState& reg, Base base, const maps::MapFacts* map, u32 map_uid);
  Status check_field_pointer(const RegState& reg, u32 regno, btf::FieldKind kind, std::string_view what);
  struct LockCall {
    bool lock;     ///< or unlock
    RefKind kind;  ///< lock, res_lock or res_lock_irq
  };
  Status check_spin_lock(u32 regno, LockCall call);
  Status check_lock_field(const RegState& reg, u32 regno, std::string_view name, bool resilient);
  Status check_res_spin_lock(const kfunc::Call& call, u32 regno);
  Status fork_failed_lock();
  Status check_timer(u32 regno, CallMeta& meta);
  Status check_const_string(u32 regno);
  enum class DynptrPlace : u8 { ok, unallocated, bad };
  DynptrPlace dynptr_place(const RegState& reg, u32& spi);
  const RegState* dynptr_behind(const RegState& reg);
  Status check_dynptr_arg(u32 regno, const helpers::ArgSpec& spec);
  Status use_dynptr(u32 regno, bool constant, DynptrKind wanted);
  Status make_dynptr(u32 regno, DynptrKind kind, u32 ref_obj_id);
  Status destroy_dynptr_at(Frame& frame, u32 spi);
  void clear_dynptr_slots(Frame& frame, u32 spi);
  Status release_dynptr(const RegState& reg);
  Status check_special_helper(const helpers::Contract& contract, CallMeta& meta);
  Status check_release_arg(u32 regno, const helpers::ArgSpec& spec, CallMeta& meta);
  Status check_async_return(u32 regno, std::string_view reg_name);
  Status leave_by_tail_call();
  Status check_subprog_call(const isa::Insn& insn);
  Status check_signature(u32 subprog);
  Status check_global_call(u32 subprog, Status fits);
  Status prepare_args(u32 subprog);
  Status prepare_static_args(u32 subprog);
  Status check_global_args(u32 subprog);
  Status check_global_arg(u32 index, const GlobalArg& arg);
  Status read_arg_tags(const btf::Btf& types, u32 func_id, u32 index, u32& tags);
  Status kernel_type_of_arg(const btf::Btf& types, u32 target, u32 index, u32& kernel_id);
  Status prepare_pointer_arg(const btf::Btf& types, u32 pointer_id, u32 index, u32 tags, GlobalArg& arg);
  Status prepare_untrusted_arg(const btf::Btf& types, u32 target, u32 index, u32 tags, GlobalArg& arg);
  void set_global_arg(RegState& reg, const GlobalArg& arg);
  Status enter_subprog(u32 subprog);
  void clear_packet_pointers();
  u32 acquire_reference(u32 insn_idx);
  bool release_reference_id(State& state, u32 id);
  Status release_reference(u32 id);
  std::string helper_text(s32 func_id) const;  ///< "bpf_map_lookup_elem#1"

  [[nodiscard]] bool target_allows(s32 func_id) const;
  [[nodiscard]] bool target_lacks(s32 func_id) const;
  [[nodiscard]] bool table_lacks(s32 func_id) const;
  Status check_get_func_ip();

  Status check_btf_arg(u32 regno, const helpers::ArgSpec& spec, const CallMeta& meta);
  Status check_kptr_arg(u32 regno, CallMeta& meta);
  Status release_to_kptr(u32 ref_obj_id);
  Status set_btf_result(const helpers::Contract& contract, const CallMeta& meta);

  // --- types/ ------------------------------------------------------------------------------------------
  [[nodiscard]] const btf::Btf* kernel_btf() const;
  [[nodiscard]] u32 kernel_struct(std::string_view name) const;
  [[nodiscard]] bool in_rcu_section() const;
  Status walk_struct(const btf::Btf& types, u32 id, s64 off, s64 size, bool flexible, StructStep& step);
  bool enter_flexible_array(const btf::Btf& types, const btf::Type& type, s64& off, u32& id, bool& scalar);
  Status walk_members(const btf::Btf& types, u32 id, s64& off, s64 size, StructStep& step, bool& deeper);
  Status access_struct(const RegState& reg, s32 off, u32 size, Base& result, StructStep& step);
  bool struct_ids_match(const btf::Btf* types, u32 id, s32 off, const btf::Btf* want, u32 want_id,
                        bool strict, bool flexible);
  bool field_keeps_trust(const RegState& reg, std::string_view field, u32 type_id, std::string_view suffix);
  u16 loaded_pointer_flags(const RegState& reg, const StructStep& step);
  void mark_btf_load(RegState& value, Base base, const btf::Btf* types, u32 id, u16 flags);
  Status check_btf_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno);
  Status check_conntrack_write(const RegState& reg, s32 off, u32 size);
  Status check_table_write(const RegState& reg, s32 off, u32 size);
  void note_kernel_access(u32 type, s32 off);
  void note_object(const btf::Btf* types, u32 id, u32 size, u32 node_offset);
  Status check_map_struct_access(u32 regno, std::string_view structure, s32 off, u32 size, Access access,
                                 s32 value_regno);
  Status check_buffer_access(u32 regno, s32 off, u32 size, Access access, s32 value_regno);
  const btf::Record* struct_record(const btf::Btf* types, u32 id);
  const btf::Record* record_of(const RegState& reg);
  bool may_point_to_lock(const RegState& reg);
  void attach_argument(s32 off, u32 size, RegState& value, bool& ok);
  struct AttachArg {
    u32 index;
    u32 name_off;  ///< of the parameter; 0: the result
  };
  void attach_pointer(AttachArg arg, const btf::Type& pointer, RegState& value, bool& ok);
  void attach_context_pointer(const btf::Type& pointer, u16 flags, RegState& value, bool& ok);
  Status check_attach_context(s32 off, u32 size, Access access, s32 value_regno);
  Status load_kernel_symbol(u32 id, RegState& dst);
  struct KptrTarget {
    const btf::Btf* btf;
    u32 id;
  };
  KptrTarget kptr_target(const btf::Btf* types, const btf::Field& field);
  u16 kptr_load_flags(const btf::Field& field, KptrTarget target);
  Status check_kptr_match(const btf::Field& field, KptrTarget target, const RegState& reg, u32 regno);
  Status check_kptr_access(const maps::MapFacts& map, const btf::Field& field, s32 value_regno);

  // --- kfunc/ ------------------------------------------------------------------------------------------
  Status check_kfunc_call(const isa::Insn& insn);
  [[nodiscard]] bool kfunc_under_lock(const isa::Insn& insn) const;
  Status check_kfunc_args(kfunc::Call& call);
  Status check_kfunc_scalar(kfunc::Call& call, u32 arg);
  Status check_kfunc_pointer(kfunc::Call& call, u32 arg, bool& skip_next);
  Status check_kfunc_arg_value(kfunc::Call& call, u32 arg, KfuncArg kind, bool& skip_next);
  Status kfunc_arg_kind(const kfunc::Call& call, u32 arg, KfuncArg& kind);
  Status check_kfunc_map(kfunc::Call& call, u32 regno);
  Status check_kfunc_btf_id(kfunc::Call& call, u32 arg, u32 wanted);
  Status check_kfunc_sized_mem(kfunc::Call& call, u32 arg);
  Status check_mem_of_size(u32 regno, u32 size);
  bool is_scalar_struct(const btf::Btf& types, u32 id);
  Status check_kfunc_object(kfunc::Call& call, u32 arg, KfuncArg kind);
  Status check_dropped_object(kfunc::Call& call, u32 arg);
  Status check_refcounted(kfunc::Call& call, u32 arg);
  Status check_root_locked(const RegState& reg);
  Status check_graph_root(kfunc::Call& call, u32 regno, btf::FieldKind kind);
  Status check_graph_node(kfunc::Call& call, u32 regno, btf::FieldKind kind);
  Status hand_over_node(const kfunc::Call& call);
  Status set_non_owning(RegState& reg);
  void invalidate_non_owning();
  [[nodiscard]] const Reference* held_lock(const void* holder, u32 id, RefKind kind) const;
  [[nodiscard]] bool in_rbtree_callback() const;
  Status check_kfunc_dynptr(kfunc::Call& call, u32 regno);
  Status set_slice_result(const kfunc::Call& call);
  Status set_kfunc_result(const kfunc::Call& call);
  Status set_special_result(const kfunc::Call& call, bool& done);
  Status check_new_object(const kfunc::Call& call);
  Status enter_or_leave_region(const kfunc::Call& call);
  void leave_rcu_section();
  Status check_may_sleep_here(std::string_view what);
  Status check_irq_flag(const kfunc::Call& call, u32 regno);
  enum class SlotPlace : u8 { ok, unallocated, bad };
  SlotPlace object_slot(const RegState& reg, std::string_view what, u32 count, u32& spi);
  void set_object_slot(Frame& frame, u32 spi, SlotByte kind, u32 ref_obj_id);
  void clear_object_slots(Frame& frame, u32 spi, u32 count);
  Status check_iter_arg(kfunc::Call& call, u32 regno);
  Status make_iter(const kfunc::Call& call, u32 regno, u32 id, u32 count);
  Status fork_iteration(const kfunc::Call& call);
  static bool iter_depths_differ(const State& old, const State& cur);
  static bool iter_is_active(const State& state);
  [[nodiscard]] bool throws(const isa::Insn& insn) const;
  Status leave_by_exception(bool& path_ends);

  // --- prune/ ------------------------------------------------------------------------------------------
  Status is_state_visited(bool& seen);
  void remember_state();
  void clean_live_states(std::vector<ExploredState>& bucket, u32 insn_idx);
  void clean_state(State& state);
  bool equals_finished(ExploredState& kept, const State& cur, Exactness exact);
  bool differs_as_before(const ExploredState& kept, const State& cur, Exactness exact);
  bool states_equal(const State& old, const State& cur, Exactness exact);
  bool frames_equal(const Frame& old, const Frame& cur, u32 insn_idx, Exactness exact);
  bool reg_safe(const RegState& old, bool precise, const RegState& cur, Exactness exact);
  bool slot_safe(const StackSlot& was, bool precise, const StackSlot& now, u64 telling, Exactness exact);
  bool stack_safe(const Frame& old, const Frame& cur, Exactness exact);
  bool refs_safe(const State& old, const State& cur);
  Status reject_infinite_loop(const State& old);
  State* find_prev_entry(State* state, u32 insn_idx);
  void widen_imprecise(const State& old, State& cur);
  Status push_history(State& state, u32 flags, u64 linked);
  Status mark_precise(u32 regno) { return mark_chain_precise(*e.cur, static_cast<s32>(regno), nullptr); }
  Status mark_chain_precise(State& start, s32 regno, bool* changed);
  s32 skip_unconcerned(const State& state, s32 i, u32 end, s32& subseq_idx) const;
  Status backtrack_parent(State& state, bool& changed);
  Status backtrack_entry(State& state);
  int backtrack_insn(s32 idx, s32 subseq_idx, const JumpEntry* entry);
  void backtrack_linked(const JumpEntry* entry);
  void backtrack_alu(const isa::Insn& insn);
  int backtrack_memory(const isa::Insn& insn, const JumpEntry* entry);
  int backtrack_call(s32 idx, s32 subseq_idx);
  int backtrack_exit(s32 subseq_idx);
  int backtrack_call_or_tail(s32 idx, s32 subseq_idx);
  void mark_all_precise(State& state);
  Status propagate_precision(const State& old, State& cur, bool* changed);
  // loops: strongly connected components being explored
  bool scc_chain(const State& state, SccChain& chain) const;
  void maybe_enter_scc(State& state);
  Status maybe_exit_scc(State& state);
  void add_backedge(State& old, u32 insn_idx);
  Status propagate_backedges(SccVisit& visit);
  bool incomplete_marks(const State& state);
  void update_peak_states();
  u32 frame_insn_idx(const State& state, u32 frame) const {
    return frame == state.curframe ? state.insn_idx : static_cast<u32>(state.frame[frame + 1]->callsite);
  }

  // --- small ones --------------------------------------------------------------------------------------
  RegState* regs() { return e.cur->regs(); }
  void scratch_reg(u32 regno) { scratched.regs |= 1u << regno; }
  void scratch_slot(u32 slot) { scratched.slots |= u64{1} << slot; }
  InsnAux& aux() { return e.aux[e.insn_idx]; }
  /// What is walked is the program itself or its exception callback, not a global function by itself.
  [[nodiscard]] bool is_main_root() const {
    const u32 root = e.cur->frame[0]->subprogno;
    return root == 0 || root == e.program.exception_callback;
  }
  [[nodiscard]] bool is_global(u32 subprog) const {
    return e.program.subprogs[subprog].is_global && subprog != 0;
  }
  Status unsupported(std::string_view what) {
    return e.reject(EOPNOTSUPP, "skep does not support {} yet (insn {})\n", what, e.insn_idx);
  }

  Env& e;
  const std::vector<isa::Insn>& insns;
  Scratched scratched;
  StackLiveness live;
  ExploredStates explored;
  Backtrack bt;
  std::vector<u32> concerned_by_precision;  ///< per instruction, see concerned_regs()
  IdMap idmap;
  u8 differing_frame = 0,
     differing_reg = reg_count;  ///< what made states_equal() fail; reg_count: no register
  std::vector<SccVisit> scc_visits;
  u32 backedge_count = 0;
  bool history_open = false;  ///< this instruction already has a history entry, the last one
  bool insn_idx_set = false;  ///< the instruction has set e.insn_idx itself
  bool print_full_state = false;
  bool throwing = false;  ///< bpf_throw() leaves every frame
  struct StructRecord {
    const btf::Btf* btf;
    u32 id;
    std::unique_ptr<btf::Record> record;
  };
  std::vector<StructRecord> struct_records;
  std::vector<std::string> insn_lines;
  u64 insn_text_start = 0, insn_text_end = 0, insn_text_length = 0;
  s32 last_line = -1;

  struct PendingPath {
    State* state;
    u32 insn_idx, prev_insn_idx;
    u64 log_position;
  };
  std::vector<PendingPath> pending;
  std::vector<std::pair<const maps::MapFacts*, std::unique_ptr<maps::MapFacts>>> inner_maps;
  RegState immediate[2];  ///< the immediate of a jump as a register, for either branch
};

/// Changes the registers of every frame, and the spilled ones, of which `which` is true. Two functions,
/// because whatever may be changed is first made the state's own (state/stack.hpp).
template <class Which, class Change>
void Walk::for_each_reg(State& state, Which&& which, Change&& change) {
  for (u32 f = 0; f <= state.curframe; ++f) {
    const auto frame = [&]() -> const Frame& {
      return *std::as_const(state).frame[f];
    };  // may become another
    for (u32 i = 0; i < reg_count; ++i)
      if (which(frame().regs[i])) change(state.frame[f]->regs[i]);
    for (u64 left = frame().slots.present(); left != 0; left &= left - 1) {
      const u32 i = static_cast<u32>(std::countr_zero(left));
      const StackSlot& slot = frame().slots[i];
      if (slot.is_spilled() && which(slot.spilled)) change(state.frame[f]->slots[i].spilled);
    }
  }
}

}  // namespace skep::verifier
