// Helpers that call one of the program's functions: the function is walked with the arguments that the helper
// will give it (kernel: push_callback_call(), set_*_callback_state()).
#include "verifier/call/helper_ids.hpp"
#include "verifier/state/dynptr.hpp"
#include "verifier/walk/walk.hpp"

namespace skep::verifier {

namespace {

/// Map types whose elements bpf_for_each_map_elem() visits.
bool has_elements_to_visit(MapType type) {
  switch (type) {
    case MapType::hash:
    case MapType::array:
    case MapType::percpu_hash:
    case MapType::percpu_array:
    case MapType::lru_hash:
    case MapType::lru_percpu_hash:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Walk::mark_map_pointer(RegState& reg, Base base, const maps::MapFacts* map, u32 map_uid) {
  mark_known_zero_pointer(reg, base);
  reg.map = map;
  reg.map_uid = map_uid;
}

/// A callback that runs later gets the map, key and value of an element of `map`.
void Walk::set_async_callback_args(const maps::MapFacts* map, u32 map_uid, Frame& callee) {
  mark_map_pointer(callee.regs[1], Base::map_ptr, map, map_uid);
  mark_map_pointer(callee.regs[2], Base::map_key, map, map_uid);
  mark_map_pointer(callee.regs[3], Base::map_value, map, map_uid);
  callee.in_async_callback = true;
  callee.callback_range = {0, 0};
}

/// The same for callbacks of kernel functions (kernel: set_rbtree_add_callback_state(), ...).
Status Walk::set_kfunc_callback_args(const kfunc::Call& call, const RegState* caller, Frame& callee) {
  if (call.special == kfunc::Special::task_work_schedule) {
    set_async_callback_args(caller[3].map, 0, callee);
    callee.callback_range = {INT32_MIN, INT32_MAX};
    return passed;
  }
  if (call.special != kfunc::Special::rbtree_add) {
    set_async_callback_args(caller[1].map, caller[1].map_uid, callee);
    return passed;
  }
  // Both nodes to compare are in the tree by then: pointers that are good while the lock is held.
  for (u32 i = 1; i <= 2; ++i) {
    mark_known_zero_pointer(callee.regs[i], {Base::btf_id, tf::alloc});
    callee.regs[i].btf = call.root_btf;
    callee.regs[i].btf_id = call.root->target;
    callee.regs[i].off = static_cast<s32>(call.root->node_offset);
    CHECK(set_non_owning(callee.regs[i]));
  }
  callee.in_callback = true;
  callee.callback_range = {0, 1};
  return passed;
}

/// What the callback finds in its registers; those it is not given stay unset.
Status Walk::set_callback_args(const CallMeta& meta, const RegState* caller, Frame& callee) {
  if (meta.kfunc != nullptr) return set_kfunc_callback_args(*meta.kfunc, caller, callee);
  RegState* to = callee.regs;
  switch (meta.func_id) {
    case fn_id::for_each_map_elem:
      if (!has_elements_to_visit(meta.map->type))
        return e.reject(kENOTSUPP, "callback function not allowed for map\n");
      to[1] = caller[1];
      mark_map_pointer(to[2], Base::map_key, meta.map, 0);
      mark_map_pointer(to[3], Base::map_value, meta.map, 0);
      to[4] = caller[3];
      break;
    case fn_id::loop:
      mark_unknown(to[1]);
      to[2] = caller[3];
      break;
    case fn_id::find_vma: {
      const u32 vma = kernel_struct("vm_area_struct");
      if (vma == 0) return unsupported("bpf_find_vma without the kernel's BTF");
      to[1] = caller[1];
      mark_btf_load(to[2], Base::btf_id, kernel_btf(), vma, tf::none);
      to[3] = caller[4];
      break;
    }
    case fn_id::user_ringbuf_drain:
      set_dynptr(to[1], DynptrKind::local, true, ++e.id_gen);
      to[2] = caller[3];
      break;
    case fn_id::timer_set_callback:
      set_async_callback_args(caller[1].map, caller[1].map_uid, callee);
      return passed;
    default:
      return unsupported(fmt::format("callbacks of {}", helper_text(meta.func_id)));
  }
  callee.in_callback = true;
  callee.callback_range = {0, 1};
  return passed;
}

/// A path that enters the callback, to be walked later; the current one goes on behind the call.
Status Walk::push_callback(const CallMeta& meta) {
  const u32 start = e.program.subprogs[meta.subprogno].start;
  (void)check_signature(meta.subprogno);
  e.subprog_aux[meta.subprogno].is_callback = true;
  State* path = nullptr;
  CHECK(push_path(start, e.insn_idx, path));
  if (path->curframe + 1 >= limits::max_call_frames)
    return e.reject(E2BIG, "the call stack of {} frames is too deep\n", path->curframe + 2);
  Frame& caller = path->cur();
  Frame* callee = e.pool.new_frame();
  callee->callsite = static_cast<s32>(e.insn_idx);
  callee->frameno = path->curframe + 1;
  callee->subprogno = meta.subprogno;
  mark_known_zero_pointer(callee->regs[frame_pointer], Base::stack);
  callee->regs[frame_pointer].frameno = callee->frameno;
  path->frame.set(++path->curframe, callee);
  scratched.all();
  CHECK(set_callback_args(meta, caller.regs, *callee));
  ++path->callback_unroll_depth;
  ++caller.callback_depth;
  e.cur->cur().callback_depth = 0;
  return passed;
}

/// A callback that runs when the program has long ended: walked by itself, with a stack of its own.
Status Walk::push_async_callback(const CallMeta& meta) {
  (void)check_signature(meta.subprogno);
  SubprogAux& sub = e.subprog_aux[meta.subprogno];
  sub.is_callback = true;
  sub.is_async_callback = true;
  State* path = e.pool.new_state();
  path->branches = 1;
  path->in_sleepable = meta.kfunc != nullptr;  // a timer's must not sleep; work queues and task work may
  pending.push_back({path, e.program.subprogs[meta.subprogno].start, e.insn_idx, e.log.position()});
  if (pending.size() > limits::max_pending_branches)
    return e.reject(E2BIG, "The sequence of {} jumps is too complex for async cb.\n", pending.size());
  Frame* frame = e.pool.new_frame();
  frame->subprogno = meta.subprogno;
  mark_known_zero_pointer(frame->regs[frame_pointer], Base::stack);
  path->frame.set(0, frame);
  scratched.all();
  frame->async_entry_count = e.cur->cur().async_entry_count + 1;
  return set_callback_args(meta, regs(), *frame);
}

/// The callback of a kernel function, if it has one.
Status Walk::enter_kfunc_callback(const kfunc::Call& call) {
  const bool async = kfunc::calls_async_callback(call.special);
  if (!async && call.special != kfunc::Special::rbtree_add) return passed;
  CallMeta meta;
  meta.kfunc = &call;
  meta.subprogno = call.subprogno;
  const Status status = async ? push_async_callback(meta) : push_callback(meta);
  if (!status.ok())
    (void)e.reject(EINVAL, "kfunc {}#{} failed callback verification\n", call.name, call.func_id);
  return status;
}

/// The callbacks of this call, if it has any.
Status Walk::enter_callbacks(const CallMeta& meta) {
  switch (meta.func_id) {
    case fn_id::timer_set_callback:
      return push_async_callback(meta);
    case fn_id::for_each_map_elem:
    case fn_id::user_ringbuf_drain:
    case fn_id::find_vma:
      return push_callback(meta);
    case fn_id::loop:
      break;
    default:
      return passed;
  }
  CHECK(note_inline_loop(meta.subprogno));
  CHECK(mark_precise(1));
  Frame& frame = e.cur->cur();
  if (frame.callback_depth < frame.regs[1].num.umax) return push_callback(meta);
  frame.callback_depth = 0;
  if (e.log.level2()) e.log.trace("frame{} bpf_loop iteration limit reached\n", e.cur->curframe);
  return passed;
}

/// For the fixups: a loop without flags and always of the same function becomes code of the program.
Status Walk::note_inline_loop(u32 subprog) {
  InsnAux& at = aux();
  const auto without_flags = [&](bool& answer) -> Status {
    const RegState& flags = regs()[4];
    answer = flags.is_const() && flags.num.var_off.value == 0;
    return answer ? mark_precise(4) : passed;
  };
  if (at.loop_inline_seen && !at.fits_inline_loop) return passed;
  bool fits = false;
  CHECK(without_flags(fits));
  at.fits_inline_loop = fits && (!at.loop_inline_seen || at.loop_callback_subprog == subprog);
  if (!at.loop_inline_seen) at.loop_callback_subprog = subprog;
  at.loop_inline_seen = true;
  return passed;
}

}  // namespace skep::verifier
