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

/// What the callback finds in its registers; those it is not given stay unset.
Status Walk::set_callback_args(const CallMeta& meta, const RegState* caller, Frame& callee) {
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
      mark_map_pointer(to[1], Base::map_ptr, caller[1].map, caller[1].map_uid);
      mark_map_pointer(to[2], Base::map_key, caller[1].map, caller[1].map_uid);
      mark_map_pointer(to[3], Base::map_value, caller[1].map, caller[1].map_uid);
      callee.in_async_callback = true;
      callee.callback_range = {0, 0};
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
  path->frame[++path->curframe] = callee;
  CHECK(set_callback_args(meta, caller.regs, *callee));
  ++path->callback_unroll_depth;
  ++caller.callback_depth;
  e.cur->cur().callback_depth = 0;
  return passed;
}

/// A callback that runs when the program has long ended: walked by itself, with a stack of its own.
Status Walk::push_async_callback(const CallMeta& meta) {
  SubprogAux& sub = e.subprog_aux[meta.subprogno];
  sub.is_callback = true;
  sub.is_async_callback = true;
  State* path = e.pool.new_state();
  path->branches = 1;
  pending.push_back({path, e.program.subprogs[meta.subprogno].start, e.insn_idx, e.log.position()});
  if (pending.size() > limits::max_pending_branches)
    return e.reject(E2BIG, "The sequence of {} jumps is too complex for async cb.\n", pending.size());
  Frame* frame = e.pool.new_frame();
  frame->subprogno = meta.subprogno;
  mark_known_zero_pointer(frame->regs[frame_pointer], Base::stack);
  path->frame[0] = frame;
  frame->async_entry_count = e.cur->cur().async_entry_count + 1;
  return set_callback_args(meta, regs(), *frame);
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
